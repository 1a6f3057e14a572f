"""What is found in one document on its way to a flow: its issues, and the secrets it names."""

from collections.abc import Collection

from runner import template
from runner.datachain import ROOTS
from runner.document import Document
from runner.errors import Malformed, TemplateError
from runner.model import Issue, Severity
from runner.schema import Guesses, quoted
from runner.types import JSONObject, Path


class Findings:
    """Collects; where something is wrong, what it gives back stands in for the right thing."""

    def __init__(self, document: Document, keys: Collection[str]) -> None:
        self._document = document
        #: Of its operations.
        self._keys = keys
        self._roots = Guesses([*ROOTS, *keys])
        self.issues: list[Issue] = []
        #: Where the text names each for the first time.
        self.secrets: dict[str, Path] = {}

    def issue(
        self,
        code: str,
        message: str,
        at: Path,
        *,
        hint: str | None = None,
        severity: Severity = Severity.ERROR,
        at_key: bool = False,
    ) -> None:
        """An issue about the value at *at*, or with *at_key* about its key."""
        self.issues.append(
            self._document.issue(code, message, at, hint=hint, severity=severity, at_key=at_key)
        )

    def malformed(self, error: Malformed, at: Path, code: str = "bad-value") -> None:
        """An issue about what is wrong inside of the value at *at*."""
        self.issue(code, error.message, (*at, *error.at), hint=error.hint)

    def secret(self, name: str, at: Path) -> None:
        """The text at *at* names a secret."""
        self.secrets.setdefault(name, at)

    def templates(
        self, value: JSONObject, at: Path, check: template.CheckFor | None = None
    ) -> template.Template | None:
        """Compile the templates in *value*; None where one does not parse."""
        try:
            return template.compile(value, check)
        except TemplateError:
            for error in template.problems(value):
                self.issue("template", error.message, (*at, *error.at), hint=error.hint)
            return None

    def reference(self, reference: template.Reference, base: Path) -> None:
        """The options at *base* read this from the data chain."""
        root = reference.path[0]
        at = (*base, *reference.at)
        if root == "$secrets":
            if len(reference.path) == 2:
                self.secret(reference.path[1], at)
            else:
                hint = "write {{ $secrets.NAME }}"
                self.issue("template", "$secrets needs the name of one secret", at, hint=hint)
        elif root not in ROOTS and root not in self._keys:
            self.issue(
                "unknown-root",
                f'"{reference.source}" is always missing: '
                f"no operation of this flow has the key {quoted(root)}",
                at,
                hint=self._roots.hint(root),
                severity=Severity.WARNING,
            )
