"""Parses PowerShell with tree-sitter's grammar and lists what it cannot read: powershell.py SCRIPT..."""

import pathlib
import sys

import tree_sitter
import tree_sitter_powershell

parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
wrong = []


def visit(node, path):
    if node.is_error or node.is_missing:
        text = node.text.decode(errors="replace").split("\n")[0][:60]
        wrong.append(f"{path}:{node.start_point[0] + 1}: not PowerShell: {text}")
    elif node.has_error:
        for child in node.children:
            visit(child, path)


for path in sys.argv[1:]:
    visit(parser.parse(pathlib.Path(path).read_bytes()).root_node, path)
print("\n".join(wrong))
sys.exit(1 if wrong else 0)
