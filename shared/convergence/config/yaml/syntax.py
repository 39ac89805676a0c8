"""What to do about text that is not YAML: the parser names the token, people need to know the actual mistake."""

from __future__ import annotations

import yaml


def open_quote(error: yaml.MarkedYAMLError) -> bool:
    """True when a quote begins at the context's mark, and the rest of the file was read as its text."""
    return error.context_mark is not None and "quoted scalar" in str(error.context)


def syntax_message(error: yaml.MarkedYAMLError, line: str, column: int) -> str:
    """Return the message: what to do if a common mistake is recognised, followed by the parser's own message."""
    if line[column:].startswith("\t"):
        return "a tab cannot indent YAML: use spaces"
    problem = str(error.problem or error.context or "this is not YAML").strip()
    context = f" {error.context}" if error.context and error.problem else ""
    message = f"this is not YAML{context}: {problem}"
    advice = _advice(problem, str(error.context), line, column)
    return f"{advice} ({message})" if advice else message


def _advice(problem: str, context: str, line: str, column: int) -> str:
    if "quoted scalar" in context:
        return "a quote is not closed: close it"
    if "mapping values are not allowed" in problem:
        if ": " in line[:column]:
            return 'a value that contains ": " must be in quotes'
        return "this line is indented differently from the keys that it belongs to: begin it where they begin"
    if "anchor" in context or "alias" in context:
        return "a value that begins with * or & must be in quotes"
    if "cannot start any token" in problem:
        return "a value that begins with %, @ or ` must be in quotes"
    if line[:column].rstrip().endswith("}"):
        return "a value that begins with { must be in quotes"
    if problem.startswith("did not find expected"):
        return "close the quote or bracket that is open, or begin this line where those beside it begin"
    return ""
