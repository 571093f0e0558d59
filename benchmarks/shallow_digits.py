"""How far classifiers without a network get on the embedded benchmark, trained on the source.

PYTHONPATH=. python benchmarks/shallow_digits.py
"""

from common.data.synthetic_digits import MAX_VALUE, PREPARATIONS, render_digits


def main() -> None:
    """Prints the accuracy on all handwritten digits, by preparation and classifier."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    classifiers = {
        "logistic regression": LogisticRegression(max_iter=300),
        "RBF SVM": SVC(),
        "nearest neighbour": KNeighborsClassifier(1),
    }
    handwritten, classes = load_digits(return_X_y=True)
    for preparation in PREPARATIONS:
        pictures, labels = render_digits(500, seed=0, preparation=preparation)
        rendered = pictures.reshape(len(pictures), -1) / MAX_VALUE
        for name, classifier in classifiers.items():
            accuracy = classifier.fit(rendered, labels).score(handwritten / MAX_VALUE, classes)
            print(f"{preparation}: {name}: {accuracy:.3f}")


if __name__ == "__main__":
    main()
