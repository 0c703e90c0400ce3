"""Damage of saved classifiers at random places, and what a classifier that loads all the same has to do."""

import numpy as np
from saved_folders import (
    files_of,
    read_arrays,
    read_description,
    write_arrays,
    write_description,
    write_digests,
)
from toy_corpus import make_corpus

from skhimatch import TokenSequences, WordTokenizer

TEXTS, _ = make_corpus(60)
UNSEEN, _ = make_corpus(5, seed=1)


def values_of(part, place=()):
    """Yield the place of each value of a JSON value."""
    items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in items:
        yield (*place, key)
        yield from values_of(value, (*place, key))


def replace_a_value(description, rng):
    """Replace or remove a value of a JSON value, in place."""
    # The many words and n-grams are no more likely than anything else.
    of_kind = {}
    for place in values_of(description):
        of_kind.setdefault(tuple(key for key in place if isinstance(key, str)), []).append(place)
    place = rng.choice(of_kind[rng.choice(list(of_kind))])
    part = description
    for key in place[:-1]:
        part = part[key]
    old = part[place[-1]]
    others = [
        None,
        True,
        False,
        -1,
        0,
        1,
        7,
        2**40,
        10**30,
        0.5,
        -1e9,
        1e300,
        float("nan"),
        "",
        "x",
        [],
        {},
        [[]],
    ]
    if isinstance(old, (int, float)):
        others += [old + 1, -old, old * 1000]
    if isinstance(old, list):
        others += [old[::-1], old * 2, old[1:]]
    value = rng.choice([*others, "removed"])
    if value == "removed":
        del part[place[-1]]
    else:
        part[place[-1]] = value
    return f"{place}: {value!r:.60}"


def edit_value(folder, rng):
    """Replace or remove a value of the description."""
    description = read_description(folder)
    what = replace_a_value(description, rng)
    write_description(folder, description)
    return what


def edit_array(folder, rng):
    """Change some numbers, the shape or the type of an array, or put it in the place of another one."""
    arrays = read_arrays(folder)
    name = rng.choice(list(arrays))
    array = arrays[name].copy()
    how = rng.choice(["numbers"] * 4 + ["shape", "type", "all", "shorter", "removed", "swapped"])
    value = rng.choice([-1, 0, 1, 10, 10**6, 2**31 - 1, -(2**31), 0.5, -1e11, 1e11, np.nan, np.inf])
    if how == "numbers" and array.size:
        with np.errstate(invalid="ignore"):
            array.flat[[rng.randrange(array.size) for _ in range(3)]] = np.array(value).astype(array.dtype)
    elif how == "all":
        with np.errstate(invalid="ignore"):
            array[...] = np.array(value).astype(array.dtype)
    elif how == "shape":
        array = array.reshape(-1, 1) if array.ndim < 2 else array.T.copy()
    elif how == "type":
        array = array.astype(rng.choice(["f4", "f8", "f2", "i8", "i1", "?"]))
    elif how == "shorter" and array.ndim:
        array = array[:-1]
    arrays[name] = array
    if how == "removed":
        del arrays[name]
    if how == "swapped":
        other = rng.choice(list(arrays))
        arrays[name], arrays[other] = arrays[other], arrays[name]
    with np.errstate(all="ignore"):
        write_arrays(folder, arrays)
    return f"{name}: {how} {value}"


def edit_bytes(folder, rng):
    """Flip bytes of a file, cut it off, or repeat a part of it; with a new digest or without."""
    path = rng.choice([folder / "classifier.json", *sorted(files_of(folder).iterdir())])
    data, how = bytearray(path.read_bytes()), rng.choice(["flipped", "cut", "repeated"])
    place = rng.randrange(len(data))
    if how == "flipped":
        for _ in range(rng.choice([1, 3, 30])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif how == "cut":
        del data[place:]
    else:
        data[place:place] = data[place // 2 : place]
    path.write_bytes(data)
    if path.name != "classifier.json" and rng.random() < 0.7:
        write_digests(folder)
    return f"{path.name}: {how}"


def check_predictions(classifier, what):
    shape = (len(UNSEEN), len(classifier.classes_))
    texts = UNSEEN
    if classifier.tokenizer_ is None:
        texts = WordTokenizer(min_count=1).fit(TEXTS).transform(UNSEEN)
        texts = TokenSequences(texts.ids % len(classifier.vocabulary_), texts.offsets, classifier.vocabulary_)
    probabilities = classifier.predict_proba(texts)
    assert probabilities.shape == shape, what
    assert np.isfinite(probabilities).all(), what
    assert classifier.predict(texts).shape == shape, what
    assert np.isfinite(classifier.transform(texts)).all(), what
