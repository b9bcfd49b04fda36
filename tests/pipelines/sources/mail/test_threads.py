"""Threads against a plain union of sets."""

from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.mail.threads import NO_TIME, ThreadIndex, without_reply_marks


def threads(*messages):
    index = ThreadIndex()
    for message in messages:
        index.add(*message)
    return [int(number) for number in index.threads()]


def joined_by_sets(messages):
    """The rule of references, the slow and obvious way."""
    groups = [{number} for number in range(len(messages))]
    for a, (own, linked, *_) in enumerate(messages):
        for b, (other, others, *_) in enumerate(messages):
            if own == other or own in others or other in linked or set(linked) & set(others):
                first = next(group for group in groups if a in group)
                second = next(group for group in groups if b in group)
                if first is not second:
                    first |= second
                    groups.remove(second)
    return [min(next(group for group in groups if number in group)) for number in range(len(messages))]


IDS = st.sampled_from([f"id{n}" for n in range(12)])


@given(st.lists(st.tuples(IDS, st.lists(IDS, max_size=2), st.just("New"), st.integers(0, 9)), max_size=14))
def test_messages_that_name_each_other_are_one_thread(messages):
    assert threads(*messages) == joined_by_sets(messages)


def test_a_reply_that_names_nobody_joins_the_message_before_it():
    assert threads(
        ("a", [], "Lunch", 10),
        ("b", [], "Re: [list] LUNCH ", 20),
        ("c", [], "Lunch", 30),
        ("d", [], "AW: Re: lunch", NO_TIME),
        ("e", ["a"], "Re: Lunch", 25),
        ("f", ["gone"], "Re[2]: Lunch", 15),
    ) == [0, 0, 2, 2, 0, 0]


def test_subjects_that_join_nothing():
    assert threads(("a", [], "", 1), ("b", [], "Re: ", 2), ("c", [], "Re: early", 3), ("d", [], "early", 4)) == [
        0,
        1,
        2,
        3,
    ]
    assert threads(("", [], "x", 1), ("", [], "x", 2)) == [0, 1]
    assert threads() == []


def test_reply_marks():
    assert without_reply_marks("Re: AW: re[3]: Re^2: Regarding: tea") == "Regarding: tea"
    assert without_reply_marks("[list] Re: tea") == "[list] Re: tea"
