"""Templates that a user names, rendered as data: closed, bounded and total.

A workload comes from anywhere, kab runs as root, and Jinja2 is a language. Three things fence it in:

* Closed. Jinja2's own sandbox, and on top of it a list of what there is: statements, filters, tests, functions, and the
  attributes of a loop, a namespace and an imported template. No attribute of any Python object is on the list, and no
  file outside the template's folder can be included.
* Bounded. Every turn of a loop, every call and every text made costs steps, and a template has `STEPS` of them; no
  value and no output is longer than `LONGEST`. Steps and not seconds: a template ends in the same way on every host,
  and no process has to be started, watched and ended for each boot.
* Total. Whatever goes wrong in a template is a ConfigError with its file and line.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping
from functools import wraps
from pathlib import Path
from traceback import walk_tb
from typing import Any

import jinja2
from jinja2.environment import TemplateModule
from jinja2.loaders import split_template_path
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from harness.errors import ConfigError
from harness.parse.foreign import printable
from harness.render.fence import fenced
from harness.render.filters import FILTERS, TESTS

# What a template may spend: one step for each node in the body of a loop or macro at every turn, and for each character
# made. kab's own jobs take some hundreds.
STEPS = 200_000
# Characters of a file, of a value, and of what is rendered; a job has some hundreds.
LONGEST = 64 * 1024
_MOST_TURNS = 10_000
_MOST_BITS = 4096

_LOOP = frozenset(
    {"index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0"}
    | {"previtem", "nextitem", "cycle", "changed"}
)
# What a closed language can raise while it runs. (A RecursionError is a RuntimeError, SyntaxError is Python's own for
# code that Jinja2 made of nonsense.)
_ERRORS = (
    jinja2.TemplateError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


def render_untrusted(template: Path, values: Mapping[str, str | int | float | bool]) -> str:
    """The text of `template` with `values`.

    Raises ConfigError with FILE:LINE for whatever is wrong with the template or with a file that it includes.
    """
    # A link is followed where the user names it, and not where a template does.
    template = template.resolve() if template.is_symlink() else template
    # Of its own for each rendering: it counts the steps, and a template that was changed is read anew.
    environment = _Sandbox(template.parent)
    try:
        pieces = environment.get_template(template.name).generate(**values)
        return environment.concat(pieces)
    except _ERRORS as error:
        raise _told(error, template, environment.files) from error


def _told(error: BaseException, template: Path, files: Collection[str]) -> ConfigError:
    if isinstance(error, jinja2.TemplateSyntaxError):
        path, line = error.filename or str(template), error.lineno
    else:
        places = [
            (frame.f_code.co_filename, line)
            for frame, line in walk_tb(error.__traceback__)
            if frame.f_code.co_filename in files
        ]
        path, line = places[-1] if places else (str(template), 1)
    said = str(error.message or error) if isinstance(error, jinja2.TemplateError) else ""
    if isinstance(error, jinja2.TemplateNotFound):
        said = f"no template {error.name!r} in {template.parent}"
    if isinstance(error, RecursionError):
        said = "nested too deep, or calls itself without an end"
    return ConfigError(f"{path}:{line}: {printable(said or f'{type(error).__name__}: {error}', limit=400)}")


class _Folder(jinja2.BaseLoader):
    """The templates of one folder and of those below it, fenced in before they are compiled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(
        self,
        environment: jinja2.Environment,
        name: str,
        globals: MutableMapping[str, Any] | None = None,  # noqa: A002
    ) -> jinja2.Template:
        """The template `name`. Raises ConfigError for a file that cannot be read, TemplateError."""
        path = self._folder.joinpath(*split_template_path(name))
        # A link that leads out of the folder shows what the folder's owner does not have.
        if path.parent != self._folder or path.is_symlink():
            inside = path.resolve().is_relative_to(self._folder.resolve())
        else:
            inside = True
        if not inside or not path.is_file():
            raise jinja2.TemplateNotFound(name)
        assert isinstance(environment, _Sandbox)
        source = _read(path)
        # A file can be included by any number of names ("./a", "././a").
        environment.spend(len(source))
        environment.files.add(str(path))
        parser = Parser(environment, source, name, str(path))
        try:
            tree = fenced(parser.parse(), str(path))
        except jinja2.TemplateSyntaxError:
            raise
        except _ERRORS as error:
            said = "nested too deep" if isinstance(error, RecursionError) else str(error)
            raise jinja2.TemplateSyntaxError(said, parser.stream.current.lineno, name, str(path)) from error
        tree.set_environment(environment)
        code = environment.compile(tree, name, str(path))
        return environment.template_class.from_code(environment, code, globals or {})


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(LONGEST + 1)
    except OSError as error:
        raise ConfigError(f"cannot read template {path}: {error.strerror}") from error
    if len(data) > LONGEST:
        raise ConfigError(f"{path}:1: too long for a template: more than {LONGEST // 1024} KiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8: {error.reason}") from error


class _Sandbox(ImmutableSandboxedEnvironment):
    """Renders one template once, and counts what that costs."""

    # Of all operators: none is computed while the template is compiled, and each passes through `call_binop`.
    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self, folder: Path) -> None:
        super().__init__(
            loader=_Folder(folder),
            undefined=jinja2.StrictUndefined,
            finalize=self._shown,
            optimized=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._left = STEPS
        # Paths of what was read.
        self.files: set[str] = set()
        self.globals = {"range": self._range, "namespace": Namespace}
        self.filters = {name: self._counted(function) for name, function in FILTERS.items()}
        self.filters["join"] = self._join
        self.filters["replace"] = self._replace
        # What `fence` puts around texts that are joined by "~", and around values that are made or compared, and before
        # assignments to a namespace.
        self.filters["fence.joined"] = self._join
        self.filters["fence.weighed"] = self._weighed
        self.filters["fence.namespace"] = _namespace
        self.tests = {name: self._counted(function) for name, function in TESTS.items()}

    def spend(self, steps: int = 1) -> None:
        """Count `steps`. Raises TemplateRuntimeError when none are left."""
        self._left -= steps
        if self._left < 0:
            raise jinja2.TemplateRuntimeError(f"does not come to an end: more than {STEPS} steps")

    def text(self, value: Any) -> str:
        """A value as it stands in the output; lists and the like have no text that fio would know."""
        if isinstance(value, jinja2.Undefined):
            return str(value)
        if not isinstance(value, str | int | float):
            raise TypeError(f"a {type(value).__name__} cannot stand in a job")
        # Markup and other kinds of text come down to text.
        return str.__str__(self._weighed(value)) if isinstance(value, str) else str(value)

    @jinja2.pass_context
    def _shown(self, _: Context, value: Any) -> str:
        # With the context: else Jinja2 would call it for constants while it compiles, where no line is known.
        return self.text(value)

    def concat(self, pieces: Iterable[str]) -> str:
        """All pieces as one text; what a template, a macro or a block of it has put out."""
        kept: list[str] = []
        length = 0
        for piece in pieces:
            length += len(piece)
            self.spend(1 + len(piece))
            if length > LONGEST:
                raise jinja2.TemplateRuntimeError(f"makes more than {LONGEST} characters")
            kept.append(piece)
        return "".join(kept)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Attributes of loops, namespaces and imported templates, keys of mappings; of nothing else."""
        self.spend()
        if isinstance(obj, jinja2.Undefined):
            return str(obj)
        if attribute.startswith("_"):
            return self.unsafe_undefined(obj, attribute)
        if isinstance(obj, LoopContext):
            return getattr(obj, attribute) if attribute in _LOOP else self.undefined(obj=obj, name=attribute)
        if isinstance(obj, Namespace):
            return getattr(obj, attribute, self.undefined(obj=obj, name=attribute))
        if isinstance(obj, TemplateModule):
            return vars(obj).get(attribute, self.undefined(obj=obj, name=attribute))
        if isinstance(obj, dict):
            return obj.get(attribute, self.undefined(obj=obj, name=attribute))
        return self.unsafe_undefined(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """An item of a list, a text or a mapping; never an attribute."""
        self._weighed(argument)
        if isinstance(obj, jinja2.Undefined):
            return str(obj)
        if isinstance(obj, dict | list | tuple | str | range):
            try:
                return obj[argument]
            except (TypeError, LookupError):
                return self.undefined(obj=obj, name=argument)
        return self.unsafe_undefined(obj, str(argument))

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Macros, loops, and the functions there are; nothing else can be called."""
        known = (self.spend, self._range, Namespace)
        of_loop = isinstance(getattr(obj, "__self__", None), LoopContext)
        if not (isinstance(obj, Macro | LoopContext | jinja2.Undefined) or of_loop or obj in known):
            raise jinja2.exceptions.SecurityError(f"a {type(obj).__name__} cannot be called")
        for value in (*args, *kwargs.values()):
            self._weighed(value)
        return self._weighed(context.call(obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic whose result is of bounded size, known before it is computed."""
        self._weighed(left), self._weighed(right)
        if isinstance(left, int | float) and isinstance(right, int | float):
            _check_size(operator, left, right)
        elif operator == "*":
            texts, times = (left, right) if isinstance(right, int) else (right, left)
            if isinstance(texts, str | list | tuple) and isinstance(times, int):
                self._bound(self._weight(texts) * max(times, 0))
        elif operator != "+":
            raise TypeError(f"{type(left).__name__} {operator} {type(right).__name__} is not computed")
        return self._weighed(super().call_binop(context, operator, left, right))

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter or test that pays for what it is given, and for what it makes."""

        @wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            for value in (*args, *kwargs.values()):
                self._weighed(value)
            return self._weighed(function(*args, **kwargs))

        return counted

    def _join(self, value: Iterable[Any], d: str = "") -> str:
        pieces = [self.text(piece) for piece in value]
        self._bound(sum(map(len, pieces)) + len(self.text(d)) * len(pieces))
        return self.text(self.text(d).join(pieces))

    def _replace(self, s: str, old: str, new: str) -> str:
        s, old, new = self.text(s), self.text(old), self.text(new)
        self._bound(len(s) + s.count(old) * len(new))
        return s.replace(old, new)

    def _range(self, *bounds: int) -> range:
        made = range(*bounds)
        # The length of a range of more than 2^63 numbers is not even a number to Python.
        if made and abs(made[-1] - made[0]) // abs(made.step) >= _MOST_TURNS:
            raise ValueError(f"range() of more than {_MOST_TURNS} numbers")
        return made

    def _weighed(self, value: Any) -> Any:
        """`value`, paid for by its size."""
        self.spend(self._weight(value))
        return value

    def _weight(self, value: Any) -> int:
        """Characters and items in `value`, at least 1. Raises ValueError for more than `LONGEST`."""
        weight = 1
        if isinstance(value, str):
            weight += len(value)
        elif isinstance(value, list | tuple | dict):
            items = (*value.keys(), *value.values()) if isinstance(value, dict) else value
            for item in items:
                weight += self._weight(item)
                self._bound(weight)
        self._bound(weight)
        return weight

    @staticmethod
    def _bound(size: int) -> None:
        if size > LONGEST:
            raise ValueError(f"makes a value of more than {LONGEST} characters or items")


def _namespace(value: Any) -> None:
    if not isinstance(value, Namespace):
        raise TypeError(f"a {type(value).__name__} is no namespace()")


def _check_size(operator: str, left: float, right: float) -> None:
    if not (isinstance(left, int) and isinstance(right, int)):
        return
    bits = {
        "*": left.bit_length() + right.bit_length(),
        "**": left.bit_length() * max(right, 0),
    }.get(operator, 0)
    if bits > _MOST_BITS:
        raise ValueError(f"a number of more than {_MOST_BITS} bits")
