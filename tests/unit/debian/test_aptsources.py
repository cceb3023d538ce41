"""Which mirror the host's own APT sources name."""

from pathlib import Path

import pytest

from harness.debian.aptsources import find_mirrors, parse_deb822, parse_one_line
from harness.errors import ConfigError, HostError

pytestmark = pytest.mark.unit

DEB822 = """\
Types: deb deb-src
# http://archive.example/snapshot
URIs: http://deb.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.example/debian-security/
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def host(tmp_path: Path, **files: str) -> Path:
    """An /etc/apt with these files; "__" in a name stands for a dot."""
    (tmp_path / "sources.list.d").mkdir()
    for name, text in files.items():
        folder = tmp_path if name == "sources__list" else tmp_path / "sources.list.d"
        (folder / name.replace("__", ".")).write_text(text)
    return tmp_path


def test_deb822_with_comments_inside_a_paragraph(tmp_path):
    mirrors = find_mirrors(environment={}, apt_directory=host(tmp_path, debian__sources=DEB822))
    assert mirrors.archive == "http://deb.example/debian"
    assert mirrors.security == "http://deb.example/debian-security"


def test_one_line_sources_with_options_and_comments(tmp_path):
    text = """\
# deb http://commented.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [ arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg ] https://deb.example/debian/ sid main # x
deb https://sec.example/debian-security bookworm-security main
"""
    mirrors = find_mirrors(environment={}, apt_directory=host(tmp_path, sources__list=text))
    assert mirrors.archive == "https://deb.example/debian"
    assert mirrors.security == "https://sec.example/debian-security"


def test_options_are_read():
    (source,) = parse_one_line('deb [signed-by=/k.gpg arch="amd64"] http://deb.example/debian sid main non-free')
    assert source.signed_by == "/k.gpg"
    assert source.suites == ("sid",)
    assert source.components == ("main", "non-free")


@pytest.mark.parametrize("word", ["no", "False", "0"])
def test_disabled_paragraphs_do_not_count(word):
    assert list(parse_deb822(f"Enabled: {word}\n{DEB822.split(chr(10) * 2)[0]}\n")) == []


def test_a_third_party_with_debian_suite_names_is_not_the_mirror(tmp_path):
    third = """\
deb https://packages.example/node_20.x bookworm main
deb https://docker.example/linux/debian bookworm stable
"""
    apt = host(tmp_path, aaa__list=third, debian__sources=DEB822)
    assert find_mirrors(environment={}, apt_directory=apt).archive == "http://deb.example/debian"


def test_only_third_parties_is_no_mirror(tmp_path):
    apt = host(tmp_path, aaa__list="deb https://packages.example/node_20.x bookworm main\n")
    with pytest.raises(HostError, match="KAB_DEBIAN_MIRROR"):
        find_mirrors(environment={}, apt_directory=apt)


def test_files_that_apt_ignores_are_ignored(tmp_path):
    apt = host(tmp_path, debian__sources__disabled=DEB822)
    with pytest.raises(HostError, match="no Debian mirror"):
        find_mirrors(environment={}, apt_directory=apt)


def test_mirror_lists_of_cloud_images(tmp_path):
    listed = tmp_path / "mirrors.list"
    listed.write_text("# first one wins\nhttps://cdn.example/debian priority:1\nhttps://other.example/debian\n")
    text = DEB822.replace("http://deb.example/debian\n", f"mirror+file:{listed}\n")
    assert find_mirrors(environment={}, apt_directory=host(tmp_path, debian__sources=text)).archive == (
        "https://cdn.example/debian"
    )


def test_security_is_a_sibling_where_nothing_names_it(tmp_path):
    text = "deb http://deb.example/debian trixie main\n"
    mirrors = find_mirrors(environment={}, apt_directory=host(tmp_path, sources__list=text))
    assert mirrors.security == "http://deb.example/debian-security"


def test_the_environment_wins(tmp_path):
    apt = host(tmp_path, debian__sources=DEB822)
    mirrors = find_mirrors(environment={"KAB_DEBIAN_MIRROR": "https://my.example/debian/"}, apt_directory=apt)
    assert mirrors.archive == "https://my.example/debian"
    assert mirrors.security == "https://my.example/debian-security"
    both = {"KAB_DEBIAN_MIRROR": "https://my.example/debian", "KAB_DEBIAN_SECURITY_MIRROR": "file:/srv/sec"}
    assert find_mirrors(environment=both, apt_directory=apt).security == "file:/srv/sec"


def test_a_variable_that_is_no_uri_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"KAB_DEBIAN_MIRROR='deb\.example'"):
        find_mirrors(environment={"KAB_DEBIAN_MIRROR": "deb.example"}, apt_directory=tmp_path)
