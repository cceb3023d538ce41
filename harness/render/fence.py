"""What a user's template may consist of, and where it pays for its steps: a pass over Jinja2's tree of nodes."""

import jinja2
from jinja2 import nodes

# Deeper than any job; Python's own limits, which know no line, lie above.
_DEEPEST_BLOCKS = 12
_DEEPEST_NODES = 80

_BLOCKS = (nodes.For, nodes.If, nodes.With, nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.AssignBlock)
# Statements and expressions there are. Extends and Block, which have a life of their own, are left out, and so is what
# extensions of Jinja2 add.
_KNOWN = frozenset(
    {nodes.Template, nodes.Output, nodes.TemplateData, nodes.Assign, nodes.Include, nodes.Import, nodes.FromImport}
    | {*_BLOCKS}
    | {nodes.Name, nodes.NSRef, nodes.Const, nodes.Tuple, nodes.List, nodes.Dict, nodes.Pair, nodes.Keyword}
    | {nodes.CondExpr, nodes.Filter, nodes.Test, nodes.Call, nodes.Getitem, nodes.Getattr, nodes.Slice, nodes.Concat}
    | {nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos}
    | {nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Add, nodes.Sub, nodes.Mod, nodes.Pow}
)
# Bodies that run as often as the template says.
_REPEATED = (nodes.Template, nodes.For, nodes.Macro, nodes.CallBlock)


def fenced(tree: nodes.Template, filename: str) -> nodes.Template:
    """The same template, with a count of its steps in every body, and values weighed where they are made.

    Raises TemplateSyntaxError, with its line, for what a job's template may not hold.
    """
    _check(tree, filename, line=1, blocks=0, depth=0)
    _instrument(tree)
    return tree


def _check(node: nodes.Node, filename: str, *, line: int, blocks: int, depth: int) -> None:
    # Nodes that Jinja2 adds of its own have no line, but what is in them has.
    line = node.lineno or next((child.lineno for child in node.iter_child_nodes() if child.lineno), line)
    if type(node) not in _KNOWN:
        said = f"a job's template has no {type(node).__name__.lower()}"
        raise jinja2.TemplateSyntaxError(said, line, filename=filename)
    blocks += isinstance(node, _BLOCKS)
    if blocks > _DEEPEST_BLOCKS or depth > _DEEPEST_NODES:
        raise jinja2.TemplateSyntaxError("nested too deep", line, filename=filename)
    for child in node.iter_child_nodes():
        # "elif" and chains of operators nest without being nested to whoever reads them: hence two limits.
        _check(child, filename, line=line, blocks=blocks, depth=depth + 1)


def _instrument(node: nodes.Node) -> None:
    for name, value in list(node.iter_fields()):
        if isinstance(value, nodes.Node):
            setattr(node, name, _exchanged(value, node))
        elif isinstance(value, list):
            setattr(node, name, [new for item in value for new in _replaced(item, node)])
    if isinstance(node, _REPEATED):
        steps = 1 + sum(1 for child in node.body for _ in child.find_all(nodes.Node))
        count = nodes.Call(
            nodes.EnvironmentAttribute("spend"), [nodes.Const(steps)], [], None, None, lineno=node.lineno
        )
        node.body.insert(0, nodes.ExprStmt(count, lineno=node.lineno))


def _replaced(item: object, parent: nodes.Node) -> list[object]:
    """What stands in a list of the tree instead of `item`."""
    if not isinstance(item, nodes.Node):
        return [item]
    new = _exchanged(item, parent)
    if not isinstance(item, nodes.Assign | nodes.AssignBlock):
        return [new]
    # Jinja2 finds out by itself what is no namespace, but has lost the line by then.
    spaces = [nodes.Name(found.name, "load", lineno=item.lineno) for found in item.target.find_all(nodes.NSRef)]
    if isinstance(item.target, nodes.NSRef):
        spaces.append(nodes.Name(item.target.name, "load", lineno=item.lineno))
    return [*(nodes.ExprStmt(_filter(space, "fence.namespace"), lineno=item.lineno) for space in spaces), new]


def _exchanged(node: nodes.Node, parent: nodes.Node) -> nodes.Node:
    """What stands in the tree instead of `node`."""
    _instrument(node)
    if isinstance(node, nodes.Concat):
        return _filter(nodes.List(node.nodes, lineno=node.lineno), "fence.joined")
    # Names that are assigned to are tuples, too.
    made = isinstance(node, nodes.List | nodes.Dict) or (isinstance(node, nodes.Tuple) and node.ctx == "load")
    sliced = isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice)
    compared = isinstance(parent, nodes.Compare | nodes.Operand) and isinstance(node, nodes.Expr)
    if (made or sliced or compared) and isinstance(node, nodes.Expr):
        return _filter(node, "fence.weighed")
    return node


def _filter(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
