"""
What the daemon is told once: flags over environment over file over defaults.

`schemas/settings.schema.json` is the one list of options. Flags, variables, defaults and help are
derived from it, and every layer is checked against it by the code that checks the file, so that a
value means the same wherever it comes from. No other module reads settings from `os.environ`.
"""

import difflib
import ipaddress
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, reduce
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from runner import addresses, channels, document, egress, schema
from runner.access import Role, Token
from runner.channels import MailSettings, Recipient
from runner.document import Document, InvalidDocument
from runner.egress import Address, Egress, Network
from runner.errors import SettingsError
from runner.model import Issue
from runner.options import PREFIX, Option, flags, leaves
from runner.secrets import SecretMissing, Secrets, no_listener
from runner.types import JSONObject, JSONValue
from runner.types import Path as DataPath
from runner.units import parse_duration, parse_size

FILE_VARIABLE: Final = "RUNNER_SETTINGS"
"""Names the settings file where no flag does."""

NOT_YET: Final = ("cors",)
"""Options that are checked and kept, and have no effect so far."""

# Variables that others set and that happen to begin like ours: a job of GitHub Actions has the
# first kind, a container beside a Kubernetes service called `runner` or `runner-…` the second.
_FOREIGN: Final = re.compile(
    r"RUNNER_(ARCH|DEBUG|ENVIRONMENT|NAME|OS|PERFLOG|TEMP|TOOL_CACHE|TRACKING_ID|USER|WORKSPACE)"
    r"|RUNNER_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)?)"
)

# A settings file is read whole; the parser refuses it when this byte more is there.
_READ_AT_MOST: Final = document.MAX_BYTES + 1


class InvalidSettings(SettingsError):
    """
    The settings file has issues.

    *issues* says which: at least one, in the order of the file.
    """

    def __init__(self, issues: tuple[Issue, ...]) -> None:
        super().__init__("\n".join(map(str, issues)))
        self.issues = issues


# --- the settings -------------------------------------------------------------------------------


class Listen(NamedTuple):
    """Where the HTTP server listens."""

    #: Without the brackets of an IPv6 address.
    host: str
    port: int

    @property
    def url(self) -> str:
        """The address as people write it: `http://127.0.0.1:8055`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may be used up: sizes in bytes, times in seconds."""

    body: int
    json_depth: int
    executions: int
    queue: int
    depth: int
    fanout: int
    request_time: float
    response: int
    script_time: float
    script_memory: int
    event_batch: int
    log_line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """How much is kept of executions that have ended."""

    #: In seconds.
    age: float
    count: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """One database."""

    name: str
    #: Reads its address, with the credentials that are in it; raises SecretMissing.
    url: Callable[[], str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUrl:
    """The PostgreSQL database in which several replicas keep what they accept."""

    #: Reads its address, with the credentials that are in it; raises SecretMissing.
    read: Callable[[], str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the daemon is told; the schema describes each option."""

    listen: Listen
    flows: Path
    #: None: nothing outlives the process.
    state: Path | StoreUrl | None
    #: `isolate` or `refuse`.
    on_invalid: str
    allow_empty: bool
    disable: frozenset[str]
    secrets_dir: Path
    secrets: Secrets = field(repr=False)
    #: What `$env` holds: the allowed variables that exist.
    env: Mapping[str, str]
    #: By name; `public` is always there.
    roles: Mapping[str, Role]
    tokens: tuple[Token, ...]
    #: By name; collections are their tables.
    databases: Mapping[str, DatabaseSettings]
    mail: MailSettings
    #: By name.
    recipients: Mapping[str, Recipient]
    trusted_proxies: tuple[Network, ...]
    #: What the `request` operation may reach.
    egress: Egress
    limits: Limits
    #: Seconds.
    drain: float
    #: Option paths that a file, variable or flag has set: `limits`, `limits.body`, ….
    given: frozenset[str]
    retention: RetentionSettings
    # As the schema has it, until something uses it.
    cors: JSONObject

    @property
    def folder(self) -> Path | None:
        """The state folder, where there is one."""
        return self.state if isinstance(self.state, Path) else None

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        address = _address(self.listen.host)
        return self.listen.host == "localhost" if address is None else address.is_loopback

    @property
    def has_tokens(self) -> bool:
        """Whether any caller can be known."""
        return bool(self.tokens)

    @property
    def public(self) -> Role:
        """The role of callers without a token."""
        return self.roles["public"]

    def unused(self) -> list[str]:
        """Options that are set and have no effect so far."""
        return [path for path in NOT_YET if path in self.given]

    @property
    def users(self) -> frozenset[str]:
        """Everybody who is known, by id: those behind tokens, and those who can be told things."""
        known = {token.user for token in self.tokens}
        known |= {recipient.user for recipient in self.recipients.values()}
        return frozenset(user for user in known if user is not None)

    def role(self, name: str) -> Role | None:
        """The role whose name or id is *name*."""
        by_id = (role for role in self.roles.values() if role.id == name.lower())
        return self.roles.get(name) or next(by_id, None)

    def caller(self, bearer: str) -> Token | None:
        """Whose token *bearer* is; None: nobody's."""
        # All of them are tried, so that the time taken does not tell which one it was.
        found = [token for token in self.tokens if token.matches(bearer)]
        return found[0] if found else None

    def client_ip(self, peer: str, forwarded_for: str = "") -> str:
        """
        The address of whoever sent a request that came from *peer*.

        That is *peer*; where it is a trusted proxy, the last address in *forwarded_for* (the
        header's value) that is not one itself. What stands left of it anybody could have written.
        """
        if not self.trusted_proxies:
            return peer
        client = peer
        for hop in reversed(forwarded_for.split(",")):
            if not self._trusts(client) or _address(hop.strip()) is None:
                break
            client = hop.strip()
        return client

    def _trusts(self, peer: str) -> bool:
        address = _address(peer)
        return address is not None and any(address in network for network in self.trusted_proxies)


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A socket that serves both families shows IPv4 callers as ::ffff:10.0.0.1.
    return getattr(address, "ipv4_mapped", None) or address


# --- layers -------------------------------------------------------------------------------------


def load(
    argv_options: Mapping[str, str],
    environ: Mapping[str, str] = os.environ,
    file: Path | None = None,
    on_read: Callable[[str], None] = no_listener,
) -> Settings:
    """
    Settings from flags over *environ* over *file* (else what RUNNER_SETTINGS names) over defaults.

    *argv_options* holds the text of each flag that was given, by option path (`limits.body`).
    *on_read* is told every secret that is read, now and later. Raises InvalidSettings for the
    file, else SettingsError naming the flag, variable or token.
    """
    file = file or (Path(environ[FILE_VARIABLE]) if environ.get(FILE_VARIABLE) else None)
    layers = [
        *([_from_file(file)] if file else []),
        *_from_environment(environ),
        *_from_flags(argv_options),
    ]
    data = reduce(_merge, layers, _defaults())
    given = frozenset(path for layer in layers for path in _paths(layer))
    return _build(data, given, environ, on_read)


@cache
def _defaults() -> JSONObject:
    found = leaves(schema.load("settings"))
    known = (_nest(path, leaf["default"]) for path, leaf in found if "default" in leaf)
    return reduce(_merge, known, {})


def _from_file(file: Path) -> JSONObject:
    try:
        with file.open("rb") as stream:
            content = stream.read(_READ_AT_MOST)
    except OSError as error:
        raise SettingsError(f"the settings file {file} cannot be read: {error.strerror}") from None
    checked = _check(file.as_posix(), content)
    if isinstance(checked, Document):
        return checked.data
    raise InvalidSettings(checked)


def _from_environment(environ: Mapping[str, str]) -> Iterator[JSONObject]:
    options = {option.variable: option for option in flags()}
    for name in sorted(environ):
        if name in options:
            yield _override(options[name], name, environ[name])
        elif name.startswith(PREFIX) and name != FILE_VARIABLE and not _FOREIGN.fullmatch(name):
            raise _unknown_variable(name, list(options))


def _unknown_variable(name: str, known: list[str]) -> SettingsError:
    # Without the prefix, which would make any two of them look alike.
    words = [each.removeprefix(PREFIX) for each in known]
    near = difflib.get_close_matches(name.removeprefix(PREFIX).upper(), words, n=1)
    guess = f"; did you mean {PREFIX}{near[0]}?" if near else ""
    return SettingsError(
        f"{name} is not a setting{guess} (all variables that begin with {PREFIX} are settings;"
        " a secret needs another name)"
    )


def _from_flags(argv_options: Mapping[str, str]) -> Iterator[JSONObject]:
    options = {option.path: option for option in flags()}
    for path, text in argv_options.items():
        yield _override(options[path], options[path].flag, text)


def _override(option: Option, name: str, text: str) -> JSONObject:
    """The settings file that would hold *text* alone, checked as one."""
    content = json.dumps(_nest(option.path, option.parse(text)), ensure_ascii=False)
    checked = _check(name, content.encode("utf-8", "backslashreplace"))
    if isinstance(checked, Document):
        return checked.data
    raise SettingsError(f"{name}: {checked[0].message}; for example {name}={option.example}")


def _nest(path: str, value: JSONValue) -> JSONObject:
    head, _, rest = path.partition(".")
    return {head: _nest(rest, value) if rest else value}


def _merge(low: JSONObject, high: JSONObject) -> JSONObject:
    merged = low | high
    for key in low.keys() & high.keys():
        if isinstance(low[key], dict) and isinstance(high[key], dict):
            merged[key] = _merge(low[key], high[key])
    return merged


def _paths(layer: JSONObject, prefix: str = "") -> Iterator[str]:
    for key, value in layer.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _paths(value, f"{prefix}{key}.")


# --- what the schema cannot say -----------------------------------------------------------------


class _Finding(NamedTuple):
    at: DataPath
    code: str
    message: str
    hint: str | None = None


def _check(name: str, content: bytes) -> Document | tuple[Issue, ...]:
    """The document in *content*, or why it cannot be a layer of the settings."""
    try:
        parsed = document.parse(name, content)
    except InvalidDocument as error:
        return error.issues
    issues = schema.check(parsed, "settings")
    # Findings rely on what the schema promises.
    issues = issues or [
        parsed.issue(finding.code, finding.message, finding.at, hint=finding.hint)
        for finding in _findings(parsed.data)
    ]
    return tuple(sorted(issues, key=lambda issue: (issue.line, issue.column))) or parsed


def _findings(data: JSONObject) -> Iterator[_Finding]:
    listen, state = data.get("listen", ":0"), data.get("state", "")
    if _listen(listen).port > 65535:
        yield _Finding(("listen",), "bad-value", f"a port is at most 65535, unlike in {listen}")
    if isinstance(state, str) and "://" in state and (wrong := _wrong_store(state)):
        yield _Finding(("state",), "bad-value", wrong)
    for index, text in enumerate(data.get("trusted_proxies", ())):
        if _network(text) is None:
            message = f'"{text}" is neither an address nor a network such as 10.0.0.0/8'
            yield _Finding(("trusted_proxies", index), "bad-value", message)
    for name, database in data.get("databases", {}).items():
        if isinstance(database["url"], str) and (wrong := _wrong_address(database["url"])):
            hint = "write sqlite:///data.db, or postgresql://user@host/name"
            yield _Finding(("databases", name, "url"), "bad-value", wrong, hint)
    yield from _mail_findings(data.get("mail", {}))
    yield from _egress_findings(data.get("egress", {}))
    yield from _role_findings(data.get("roles", {}))
    yield from _token_findings(data.get("tokens", []), {"public", *data.get("roles", {})})


def _mail_findings(mail: JSONObject) -> Iterator[_Finding]:
    for which in ("from", "reply_to"):
        try:
            addresses.parse(mail.get(which, "nobody@example.com"))
        except ValueError as error:
            hint = "write runner@example.com or Runner <runner@example.com>"
            yield _Finding(("mail", which), "bad-value", str(error), hint)
    if isinstance(mail.get("url"), str):
        try:
            channels.server(mail["url"], allow_plain=True)  # of this file another layer may know
        except ValueError as error:
            yield _Finding(("mail", "url"), "bad-value", str(error))


def _egress_findings(rules: JSONObject) -> Iterator[_Finding]:
    for which in ("allow", "deny"):
        for index, text in enumerate(rules.get(which, ())):
            try:
                egress.place(text)
            except ValueError as error:
                yield _Finding(("egress", which, index), "bad-value", str(error))


def _role_findings(roles: JSONObject) -> Iterator[_Finding]:
    owners: dict[str, str] = {}
    for name, role in roles.items():
        if "id" not in role:
            continue
        owner = owners.setdefault(role["id"].lower(), name)
        if owner != name:
            message = f'the roles "{owner}" and "{name}" have the same id'
            yield _Finding(("roles", name, "id"), "duplicate-id", message)


def _token_findings(tokens: list[JSONObject], roles: set[str]) -> Iterator[_Finding]:
    names: set[str] = set()
    for index, token in enumerate(tokens):
        name, role = token["name"], token["role"]
        if name in names:
            message = f'another token has the name "{name}"'
            yield _Finding(("tokens", index, "name"), "duplicate-name", message)
        if role not in roles:
            hint = schema.nearest(role, roles, prefix="") or f"there are {', '.join(sorted(roles))}"
            message = f'there is no role "{role}" for the token "{name}"'
            yield _Finding(("tokens", index, "role"), "unknown-role", message, hint)
        names.add(name)


def _listen(text: str) -> Listen:
    host, _, port = text.rpartition(":")
    return Listen(host.strip("[]"), int(port))


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


# --- from checked data to Settings --------------------------------------------------------------


def _build(
    data: JSONObject,
    given: frozenset[str],
    environ: Mapping[str, str],
    on_read: Callable[[str], None],
) -> Settings:
    secrets_dir = Path(data["secrets_dir"])
    secrets = Secrets(secrets_dir, environ, on_read)
    roles = {name: _role(name, role) for name, role in ({"public": {}} | data["roles"]).items()}
    return Settings(
        listen=_listen(data["listen"]),
        flows=Path(data["flows"]),
        state=_state(data["state"], secrets),
        on_invalid=data["on_invalid"],
        allow_empty=data["allow_empty"],
        disable=frozenset(data["disable"]),
        secrets_dir=secrets_dir,
        secrets=secrets,
        env=MappingProxyType(
            {name: environ[name] for name in data["env_allow"] if name in environ}
        ),
        roles=MappingProxyType(roles),
        tokens=tuple(_token(token, roles, secrets) for token in data["tokens"]),
        databases=MappingProxyType(
            {
                name: _database(name, database["url"], secrets)
                for name, database in data["databases"].items()
            }
        ),
        mail=channels.mail_settings(data["mail"], secrets),
        recipients=MappingProxyType(channels.recipients(data["recipients"], secrets)),
        trusted_proxies=tuple(filter(None, map(_network, data["trusted_proxies"]))),
        egress=_egress(data["egress"]),
        limits=_limits(data["limits"]),
        drain=parse_duration(data["drain"]),
        retention=_retention(data.get("retention", {})),
        given=given,
        cors=data.get("cors", {}),
    )


_VERBS: Final = ("flows", "executions", "events", "source")


def _egress(rules: JSONObject) -> Egress:
    return Egress(
        mode=rules["mode"],
        allow=egress.places(rules["allow"]),
        deny=egress.places(rules["deny"]),
    )


def _retention(keep: JSONObject) -> RetentionSettings:
    return RetentionSettings(
        age=parse_duration(keep.get("age", "30d")),
        count=keep.get("count", 100_000),
        bytes=_size(keep.get("bytes", "1GiB")),
    )


def _limits(limits: JSONObject) -> Limits:
    return Limits(
        body=_size(limits["body"]),
        json_depth=limits["json_depth"],
        executions=limits["executions"],
        queue=limits["queue"],
        depth=limits["depth"],
        fanout=limits["fanout"],
        request_time=parse_duration(limits["request_time"]),
        response=_size(limits["response"]),
        script_time=parse_duration(limits["script_time"]),
        script_memory=_size(limits["script_memory"]),
        event_batch=limits["event_batch"],
        log_line=limits["log_line"],
    )


def _size(value: int | str) -> int:
    return value if isinstance(value, int) else parse_size(value)


def _role(name: str, role: JSONObject) -> Role:
    return Role(
        name=name,
        id=_lower(role.get("id")),
        admin=role.get("admin", False),
        verbs={area: frozenset(role.get(area, ())) for area in _VERBS},
        collections={each: frozenset(can) for each, can in role.get("collections", {}).items()},
    )


def _token(token: JSONObject, roles: Mapping[str, Role], secrets: Secrets) -> Token:
    read = secrets.reader(token["token"])
    try:
        read()
    except SecretMissing as error:
        raise SettingsError(f'the token "{token["name"]}" cannot be read: {error}') from None
    return Token(
        name=token["name"], role=roles[token["role"]], user=_lower(token.get("user")), read=read
    )


_DATABASES: Final = re.compile(r"sqlite:///(?!:memory:)[^?#]+|postgres(ql)?://\S+")


def _wrong_address(url: str) -> str | None:
    """What is wrong with the address of a database; it is not quoted, for it may be a secret."""
    if _DATABASES.fullmatch(url):
        return None
    return "the address of a database begins with sqlite:/// and a path, or postgresql://"


def _database(name: str, url: str | Mapping[str, str], secrets: Secrets) -> DatabaseSettings:
    read = secrets.address_reader(url)
    try:
        wrong = _wrong_address(read())
    except SecretMissing as error:
        wrong = str(error)
    if wrong:
        raise SettingsError(f'the database "{name}" cannot be used: {wrong}')
    return DatabaseSettings(name=name, url=read)


# What is special in user and password must be encoded: libpq would otherwise read a part of them
# as the host, and say so.
_STORE: Final = re.compile(
    r"postgres(ql)?://([^@/?#%\s]|%(?!00)[0-9A-Fa-f]{2})*(@[^@/?#\s]+)?([/?][^@#\s]*)?"
)


def _wrong_store(url: str) -> str | None:
    """What is wrong with the address of a store; it is not quoted, for it may hold a password."""
    if _STORE.fullmatch(url):
        return None
    return (
        "state must be a folder, none, or postgresql://user:password@host:port/name with what is"
        " special in user and password percent-encoded"
    )


def _state(given: str | Mapping[str, str], secrets: Secrets) -> Path | StoreUrl | None:
    if isinstance(given, str) and "://" not in given:
        return None if given == "none" else Path(given)
    read = secrets.address_reader(given)
    try:
        wrong = _wrong_store(read())
    except SecretMissing as error:
        wrong = str(error)
    if wrong:
        raise SettingsError(f"the store cannot be used: {wrong}")
    return StoreUrl(read=read)


def _lower(uuid: str | None) -> str | None:
    return uuid and uuid.lower()
