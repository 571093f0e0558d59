"""What classes of well-known sets have in common, as values of `config.data`."""

# CIFAR-10 and STL-10 share nine classes; frogs are in the first alone, monkeys in the second.
CIFAR_AND_STL = {
    "rename_classes": {"automobile": "car"},
    "classes": ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "ship", "truck"),
}

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# In the catalogue of TensorFlow Datasets the classes of CIFAR-10-C are CIFAR-10's bare numbers.
CIFAR_AND_CORRUPTED = {
    "rename_classes": {str(number): name for number, name in enumerate(CIFAR)},
}
