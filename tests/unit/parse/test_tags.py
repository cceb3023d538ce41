"""Tags of releases, from versions of packages."""

import pytest

from harness.parse.tags import release_tag, tag_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("version", "tag"),
    [
        ("6.12.43-1", "v6.12.43"),
        ("7.3~rc7-1~exp1", "v7.3-rc7"),
        ("7.2.6-1~bpo13+1", "v7.2.6"),
        ("7.2-1", "v7.2"),
        ("6.18.15", "v6.18.15"),
    ],
)
def test_tags_of_package_versions(version: str, tag: str) -> None:
    assert tag_of(version) == tag


@pytest.mark.parametrize(
    ("tag", "release"), [("v6.12.43", "v6.12"), ("v7.2", None), ("v7.3-rc7", None), ("v6.12.43-rt1", None)]
)
def test_the_release_of_a_stable_update(tag: str, release: str | None) -> None:
    assert release_tag(tag) == release
