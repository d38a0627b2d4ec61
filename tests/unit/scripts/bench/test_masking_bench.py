from masterflow.scripts.bench.loads.masking import WORST, harmless_text, measure


def test_every_text_is_timed_beside_what_writes_it_as_json():
    found = measure(2_000)
    assert {repr(unit) for unit in WORST} < {one.name for one in found}
    assert all(one.ms > 0 and one.ratio > 0 for one in found)


def test_texts_without_a_secret_are_the_project_s_own():
    assert len(harmless_text()) == 1_000_000
