"""What a label can be."""

# One class of several; one of two; a 0 or 1 for each of several labels; numbers.
KINDS = ("multi_class", "binary", "multi_label", "regression")
# Labels of these are class numbers.
OF_CLASSES = ("multi_class", "binary")
