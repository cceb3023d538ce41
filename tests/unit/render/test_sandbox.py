"""Templates that a user names: nothing of Python's or the host's is reached, all ends, every error has its place."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.render.sandbox import LONGEST, render_untrusted

pytestmark = pytest.mark.unit

VALUES = {
    "common": "[global]\n",
    "name": "mine",
    "jobs": 4,
    "size": 65536,
    "engine": "psync",
    "rate": 1.5,
    "direct": True,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("templates")


def rendered(folder: Path, text: str, **values: str | float) -> str:
    template = folder / "mine.fio.j2"
    template.write_text(text, encoding="utf-8")
    return render_untrusted(template, {**VALUES, **values})


def refused(folder: Path, text: str) -> str:
    """The message, which names file and line, without them."""
    started = time.process_time()
    with pytest.raises(ConfigError) as raised:
        rendered(folder, text)
    assert time.process_time() - started < 5, "bounded in time"
    place, _, said = raised.value.message.partition(": ")
    path, _, line = place.rpartition(":")
    assert Path(path).parent == folder
    assert 1 <= int(line) <= text.count("\n") + 1
    assert said
    return said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ common }}[{{ name }}]\nsize={{ size // jobs }}\n", "[global]\n[mine]\nsize=16384\n"),
        (
            "{% for n in range(jobs) %}data.{{ n }}{{ '' if loop.last else ':' }}{% endfor %}",
            "data.0:data.1:data.2:data.3",
        ),
        ("{% for a in [1, 2] %}{% for b in [3, 4] %}{{ a * b }},{% endfor %}{% endfor %}", "3,4,6,8,"),
        ("{% if engine == 'io_uring' %}u{% elif engine in ['psync'] %}p{% else %}o{% endif %}", "p"),
        ("{% macro opt(key, value) %}{{ key }}={{ value }}\n{% endmacro %}{{ opt('bs', size) }}", "bs=65536\n"),
        (
            "{% set ns = namespace(at=0) %}{% for n in range(3) %}{% set ns.at = ns.at + n %}{% endfor %}{{ ns.at }}",
            "3",
        ),
        ("{{ ['a', 'b'] | join('+') }}{{ 'a' ~ jobs ~ rate }}{{ 'a-b' | replace('-', '_') }}", "a+ba41.5a_b"),
        ("{% set d = {'x': 1} %}{{ d.x }}{{ d['x'] }}{% if missing is defined %}no{% endif %}", "11"),
        ("{% filter upper %}{{ name }}{% endfilter %}{{ [3, 1] | sort | first }}{{ 2.56 | round(1) }}", "MINE12.6"),
        ("{{ 'abcdef'[1:3] }}{{ [1, 2, 3][:2] | sum }}{{ -jobs }}{{ jobs ** 2 }}{{ jobs % 3 }}", "bc3-4161"),
        ("{% with half = jobs / 2 %}{{ half | int }}{% endwith %}{{ [1, 2] | map('float') | join(' ') }}", "21.0 2.0"),
    ],
)
def test_what_a_job_needs_is_there(folder, text, expected):
    assert rendered(folder, text) == expected


def test_files_of_the_same_folder_are_included_and_imported(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "bs.j2").write_text("bs={{ size }}\n", encoding="utf-8")
    (tmp_path / "macros.j2").write_text("{% macro jobs(n) %}numjobs={{ n }}\n{% endmacro %}", encoding="utf-8")
    text = "{% import 'macros.j2' as m %}{% include 'parts/bs.j2' %}{{ m.jobs(jobs) }}"
    assert rendered(tmp_path, text) == "bs=65536\nnumjobs=4\n"


@pytest.mark.parametrize(
    "text",
    [
        "{{ lipsum.__globals__['os'].popen('id').read() }}",
        "{{ lipsum }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__class__'] }}",
        "{{ self.__init__.__globals__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ range.__self__ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ namespace()['__class__'] }}",
        "{{ 'x'.upper() }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ '%s' % engine }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ engine | attr('__class__') }}",
        "{{ [engine] | map(attribute='__class__') | join }}",
        "{{ engine | xmlattr }}",
        "{% for x in [1] %}{{ loop.__init__.__globals__ }}{% endfor %}",
        "{% for x in [1] %}{{ loop._iterable }}{% endfor %}",
        "{% macro m() %}{% endmacro %}{{ m.__globals__ }}",
        "{% macro m() %}{% endmacro %}{{ m._func }}",
        "{% import 'mine.fio.j2' as m %}{{ m.__class__ }}",
        "{{ [].append(1) }}",
        "{{ dict }}",
        "{{ environment }}",
        "{{ engine() }}",
        "{% extends 'x' %}",
        "{% block b %}{% endblock %}",
        "{{ (1).to_bytes(10**10, 'big') }}",
        "{{ none }}",
        "{{ [1, 2] }}",
    ],
)
def test_nothing_of_pythons_is_reached(folder, text):
    refused(folder, text)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "link", "sub/../../secret", "missing", "", "."])
@pytest.mark.parametrize("statement", ["{{% include '{}' %}}", "{{% import '{}' as m %}}"])
def test_no_file_outside_the_folder_is_read(tmp_path, name, statement):
    (tmp_path / "secret").write_text("SECRET", encoding="utf-8")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "link").symlink_to(tmp_path / "secret")
    assert "SECRET" not in refused(inner, "\n" + statement.format(name))


DOUBLING = "{% set ns = namespace(x=START) %}{% for i in range(60) %}{% set ns.x = STEP %}{% endfor %}"


@pytest.mark.parametrize(
    "text",
    [
        "{% for x in range(10**9) %}{% endfor %}",
        "{{ range(10**30) | list | length }}",
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        "{{ 'x' * 10**10 }}",
        "{{ 10**10 * 'x' }}",
        "{{ [0] * 10**10 | length }}",
        "{{ 10**(10**10) }}",
        "{{ 2**4000 * 2**4000 }}",
        "{{ 1.5 | round(10**9) }}{{ 5 | round(-10**9) }}",
        "{{ 'x' | center(10**9) }}",
        "{{ 'x' | indent(10**9) }}",
        "{{ [1] | batch(10**9, 0) | list }}",
        "{{ 'ab' * 9000 | replace('a', 'b' * 9000) }}",
        "{{ (['a'] * 9000) | join('b' * 9000) }}",
        DOUBLING.replace("START", "'x'").replace("STEP", "ns.x ~ ns.x"),
        DOUBLING.replace("START", "'x'").replace("STEP", "ns.x + ns.x"),
        DOUBLING.replace("START", "[1]").replace("STEP", "[ns.x, ns.x]"),
        DOUBLING.replace("START", "[1]").replace("STEP", "{1: ns.x, 2: ns.x}"),
        DOUBLING.replace("START", "[1]").replace("STEP", "(ns.x, ns.x)"),
        DOUBLING.replace("START", "2").replace("STEP", "ns.x * ns.x"),
        "{% set x %}{% for i in range(9000) %}{{ 'y' * 9000 }}{% endfor %}{% endset %}",
        "{% for i in range(9000) %}{{ 'y' * 9000 }}{% endfor %}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% set d = (d | default(0)) + 1 %}{% if d < 60 %}" + 2 * "{% include 'mine.fio.j2' %}" + "{% endif %}",
        "{% include 'mine.fio.j2' %}",
        "{% set l = range(9999) | list %}{% for i in range(9999) %}{% if l == l + [] %}{% endif %}{% endfor %}",
        "{% for i in range(9999) %}{% if i %}{% include './' * i ~ 'mine.fio.j2' %}{% endif %}{% endfor %}",
        "{% set l = range(9999) | list %}{% for i in range(9999) %}{{ loop.changed(l + []) }}{% endfor %}",
        "{% set l = range(9999) | list %}{% for i in range(9999) %}{{ {}[[l, l]] is defined }}{% endfor %}",
        "{% set l = range(9999) | list %}{% for i in range(9999) %}{% if -1 in l %}{% endif %}{% endfor %}",
        "{% set l = range(9999) | list %}{% for i in range(9999) %}{{ (l | sort)[0] }}{{ l[1:][0] }}{% endfor %}",
    ],
)
def test_every_template_ends_soon_and_small(folder, text):
    refused(folder, text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n{{ missing }}", 2),
        ("a\n{% if %}", 2),
        ("a\n\n{{ 1 // 0 }}", 3),
        ("a\n{{ 'x' + 1 }}", 2),
        ("a\n{{ 'x' | nope }}", 2),
        ("a\n{{ 1 | map }}", 2),
        ("a\n{{ 1 | join }}", 2),
        ("a\n{% for a, b in [1] %}{% endfor %}", 2),
        ("a\n{% for x in 5 %}\n{% endfor %}", 2),
        ("a\n{% macro m() %}{{ m() }}{% endmacro %}\n{{ m() }}", 2),
        ("a\n{{ 2.0 ** 10000 }}", 2),
        ("a\n{{ " + "9" * 5000 + " }}", 2),
        ("a\n{{ " + "(" * 5000 + " }}", 2),
        ("a\n{{ " + "not " * 5000 + "1 }}", 2),
        ("a\n{{ 1" + " + 1" * 5000 + " }}", 2),
        ("a\n" + "{% if 1 %}" * 3000 + "{% endif %}" * 3000, 2),
        ("a\n" + "{% for x in [1] %}" * 30 + "{% endfor %}" * 30, 2),
        ("a\n{{ engine.x }}", 2),
        ("a\n{{ range() }}", 2),
        ("a\n{{ range(0, 9, 0) }}", 2),
        ("a\n{{ [] | first }}", 2),
        ("a\n{{ {[]: 1} }}", 2),
        ("a\n{% include 'none.j2' %}", 2),
        ("a\n{% include [] %}", 2),
        ("a\n{% include 5 %}", 2),
        ("a\n{% from 'mine.fio.j2' import x %}", 2),
        ("a\n{% set ns.x = 1 %}", 2),
        ("a\n{% set engine.x = 1 %}", 2),
        ("a\n{{ 'x", 2),
        ("a\n{# x", 2),
        ("a\n{% call engine() %}{% endcall %}", 2),
        ("a\n{% autoescape true %}{% endautoescape %}", 2),
        ("a\n{{ caller() }}", 2),
        ("a\n{{ loop.index }}", 2),
    ],
)
def test_an_error_names_its_line(folder, text, line):
    with pytest.raises(ConfigError) as raised:
        rendered(folder, text)
    assert raised.value.message.startswith(f"{folder}/mine.fio.j2:{line}: ")
    assert len(raised.value.message) < 700


def test_an_error_in_an_included_file_names_that_file(tmp_path):
    (tmp_path / "part.j2").write_text("\n\n{{ 1 // 0 }}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"part\.j2:3: ZeroDivisionError"):
        rendered(tmp_path, "{% include 'part.j2' %}")


def test_a_link_is_followed_where_the_user_names_it(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "mine.fio.j2").write_text("{% include 'part' %}", encoding="utf-8")
    (tmp_path / "real" / "part").write_text("part of {{ name }}", encoding="utf-8")
    (tmp_path / "link").symlink_to("real/mine.fio.j2")
    assert render_untrusted(tmp_path / "link", VALUES) == "part of mine"


def test_files_that_are_no_templates(tmp_path):
    template = tmp_path / "mine.fio.j2"
    with pytest.raises(ConfigError, match=r"no template 'mine.fio.j2'"):
        render_untrusted(template, VALUES)
    template.write_bytes(b"a\nb\n\xff\n")
    with pytest.raises(ConfigError, match=r"mine\.fio\.j2:3: not UTF-8"):
        render_untrusted(template, VALUES)
    template.write_bytes(b"x" * (LONGEST + 1))
    with pytest.raises(ConfigError, match="too long"):
        render_untrusted(template, VALUES)
    template.unlink()
    template.mkdir()
    with pytest.raises(ConfigError, match="no template"):
        render_untrusted(template, VALUES)
    template.rmdir()
    template.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="no template"):
        render_untrusted(template, VALUES)


WORDS = (
    "{{ }} {% %} {# #} for in if endif endfor set macro endmacro include import as loop range namespace self x jobs "
    "engine = == + * ** ~ | ( ) [ ] { } . , : 1 99999999999999999999 1.5 'a' __class__ join sort map list is not "
    "defined recursive call endcall filter with 'mine.fio.j2' ns.x"
)


@settings(max_examples=300, deadline=None)
@given(
    words=st.one_of(st.lists(st.sampled_from(WORDS.split()), max_size=30), st.lists(st.text(max_size=5), max_size=5))
)
def test_any_text_gives_a_job_or_an_error_with_its_place(folder, words):
    text = " ".join(words)
    for whole in (text, f"{{{{ {text} }}}}", f"{{% {text} %}}"):
        try:
            assert len(rendered(folder, whole.encode(errors="replace").decode())) <= LONGEST
        except ConfigError as error:
            assert error.message.startswith(f"{folder}/mine.fio.j2:")  # noqa: PT017
