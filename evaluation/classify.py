"""Classify texts with the classifier beside this file. Needs Python 3.10 or newer and no package.

python classify.py "a text" "another"
python classify.py < lines.txt
python classify.py --csv rows.csv --column text > classified.csv

    from classify import Classifier
    label, probability = Classifier().classify("a text")
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from operator import mul
from pathlib import Path

FILE = Path(__file__).with_name("classifier.json")
SPACES = re.compile(r"\s\s+")
ADDED = ["predicted", "probability"]  # columns behind a CSV file's own
MOST_CHARACTERS = 2**31 - 1  # of a CSV field


class Classifier:
    """TF-IDF with logistic regression.

    A term's weight in a text is (1 + ln count) * idf, divided by the length of all of the text's
    weights. A label's score is its intercept and its coefficients times these weights; softmax of
    the scores are the probabilities. With two labels there is one score, that of the second.

    Attributes:
        labels: that it knows.
    """

    def __init__(self, file: Path = FILE) -> None:
        with file.open(encoding="utf-8") as text:
            made = json.load(text)
        self.labels: list[str] = made["labels"]
        self._intercepts: list[float] = made["intercepts"]
        self._terms: dict[str, list[float]] = made["terms"]
        rules = made["term_rules"]
        self._word = re.compile(rules["word"])
        han = "".join(f"{chr(first)}-{chr(last)}" for first, last in rules["han"])
        self._han = re.compile(f"[{han}]")
        self._words, self._characters = rules["words"], rules["characters"]

    def classify(self, text: str) -> tuple[str, float]:
        """The likeliest label and its probability."""
        found = self.probabilities(text)
        best = max(found, key=found.__getitem__)
        return best, found[best]

    def probabilities(self, text: str) -> dict[str, float]:
        """Label -> probability, of all labels."""
        scores = self._scores(text)
        if len(scores) == 1:
            scores = [0.0, *scores]
        most = max(scores)
        powers = [math.exp(score - most) for score in scores]
        whole = sum(powers)
        return {label: power / whole for label, power in zip(self.labels, powers, strict=True)}

    def terms(self, text: str) -> list[str]:
        """What is counted: words, or characters where most of a text are Han."""
        lower = text.lower()
        if 2 * len(self._han.findall(text)) > len(text):
            return list(_runs(SPACES.sub(" ", lower), self._characters, ""))
        return list(_runs(self._word.findall(lower), self._words, " "))

    def _scores(self, text: str) -> list[float]:
        counts = Counter(term for term in self.terms(text) if term in self._terms)
        if not counts:
            return self._intercepts
        idf, *columns = zip(*(self._terms[term] for term in counts), strict=True)
        weights = [
            (1.0 + math.log(count)) * one for count, one in zip(counts.values(), idf, strict=True)
        ]
        length = math.sqrt(sum(map(mul, weights, weights)))
        return [
            intercept + sum(map(mul, weights, column)) / length
            for intercept, column in zip(self._intercepts, columns, strict=True)
        ]


def _runs(pieces: str | list[str], lengths: Iterable[int], between: str) -> Iterator[str]:
    """Every run of so many pieces, joined."""
    first, last = lengths
    for size in range(first, last + 1):
        for at in range(len(pieces) - size + 1):
            yield between.join(pieces[at : at + size])


def _of_file(classifier: Classifier, file: Path, column: str) -> None:
    """Print a CSV file with what was found for each row."""
    csv.field_size_limit(MOST_CHARACTERS)
    with file.open(encoding="utf-8-sig", newline="") as text:
        rows = csv.reader(text)
        names = next(rows, [])
        if column not in names:
            sys.exit(f"{file} has no column {column!r}. Its columns: {', '.join(names)}")
        out, place = csv.writer(sys.stdout, lineterminator="\n"), names.index(column)
        out.writerow([*names, *ADDED])
        for row in rows:
            if row and len(row) != len(names):
                sys.exit(f"{file}, line {rows.line_num}: {len(row)} values, {len(names)} columns.")
            if row:
                label, probability = classifier.classify(row[place])
                out.writerow([*row, label, f"{probability:.4f}"])


def _of_lines(classifier: Classifier, texts: Iterable[str]) -> None:
    for text in texts:
        label, probability = classifier.classify(text)
        print(f"{label}\t{probability:.4f}")


def main() -> None:
    """The command line: a line for each text, with label and probability."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("texts", nargs="*", help="without any, each line of standard input is one")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="classify a column of this file")
    parser.add_argument("--column", default="text", help="of the file, by default text")
    given = parser.parse_args()
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as in `| head`
    sys.stdin.reconfigure(encoding="utf-8-sig")  # type: ignore[union-attr]
    sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
    try:
        if given.csv:
            _of_file(Classifier(), given.csv, given.column)
        else:
            lines = (line.rstrip("\n") for line in sys.stdin)
            _of_lines(Classifier(), given.texts or lines)
    except UnicodeDecodeError as error:
        sys.exit(f"{given.csv or 'standard input'} is not UTF-8: {error}")
    except (OSError, csv.Error) as error:
        sys.exit(f"{given.csv or FILE} cannot be read: {error}")


if __name__ == "__main__":
    main()
