"""What the daemon is told, wherever it is told it, and whom it knows."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from runner import schema, settings
from runner.access import Role, Token
from runner.errors import SettingsError
from runner.options import Option, flags
from runner.settings import InvalidSettings, Settings, StoreUrl

USER = "00000000-0000-4000-a000-0000000000e2"
ROLES = f"""
roles:
  admin: {{admin: true}}
  editor:
    id: {USER.upper()}
    flows: [read, trigger]
    collections: {{articles: [read]}}
"""

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load settings from the text of a file, flags and an environment of the test's own."""

    def load_text(
        text: str = "",
        flags: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Settings:
        file = tmp_path / "settings.yaml"
        if text:
            file.write_text(text, encoding="utf-8")
        return settings.load(flags or {}, environ or {}, file if text else None)

    return load_text


def issues_of(load: Load, text: str) -> list[tuple[int, int, str]]:
    """Line, column and code of each issue of *text*."""
    with pytest.raises(InvalidSettings) as caught:
        load(text)
    return [(issue.line, issue.column, issue.code) for issue in caught.value.issues]


# --- precedence ---------------------------------------------------------------------------------


def test_without_anything_the_defaults_hold(load: Load) -> None:
    """A runner that is told nothing listens on loopback and keeps its state beside it."""
    loaded = load()

    assert loaded.listen == ("127.0.0.1", 8055)
    assert (loaded.flows, loaded.state) == (Path("flows.d"), Path(".runner"))
    assert (loaded.limits.body, loaded.limits.request_time, loaded.drain) == (1 << 20, 30.0, 25.0)
    assert loaded.loopback
    assert not loaded.has_tokens
    assert loaded.unused() == []


def test_file_wins_over_default_variable_over_file_and_flag_over_variable(load: Load) -> None:
    """The nearer to the hand, the stronger; the neighbours of an option stay as they were."""
    text = "limits: {body: 2KiB, queue: 7, depth: 3}"
    loaded = load(
        text, {"limits.body": "4KiB"}, {"RUNNER_LIMITS_BODY": "3KiB", "RUNNER_LIMITS_QUEUE": "8"}
    )

    limits = loaded.limits
    assert (limits.body, limits.queue, limits.depth, limits.fanout) == (4096, 8, 3, 10000)


def test_file_may_be_named_by_a_variable(tmp_path: Path) -> None:
    """RUNNER_SETTINGS names the file where no flag does."""
    named, other = tmp_path / "named.yaml", tmp_path / "other.yaml"
    named.write_text("drain: 1s")
    other.write_text("drain: 2s")
    environ = {"RUNNER_SETTINGS": str(named)}

    assert settings.load({}, environ).drain == 1.0
    assert settings.load({}, environ, other).drain == 2.0


def test_loading_twice_gives_the_same(load: Load) -> None:
    """Nothing of one load stays behind for the next."""
    load("limits: {queue: 1}\ncors: {origins: ['*']}", {"disable": "a"})
    again = load()

    assert again.limits.queue == 10000
    assert again.cors == {"origins": []}
    assert again.disable == frozenset()


def test_state_none_keeps_nothing(load: Load) -> None:
    """`none` is a word, not a folder."""
    assert load("state: none").state is None


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cr%2Fet@db.example.com:5432/runner?sslmode=require",
        "postgres://db/runner",
        "postgresql:///runner?host=/run/postgresql",
        "postgresql://me@[::1]:5432,other/runner",
    ],
)
def test_state_may_be_a_database(load: Load, url: str) -> None:
    """Said by a flag, a variable or the file, where the address may stand elsewhere."""
    loaded = (
        load(flags={"state": url}),
        load(environ={"RUNNER_STATE": url}),
        load(f"state: '{url}'"),
        load("state: {env: STORE_URL}", environ={"STORE_URL": url}),
        load("state: {env: STORE_URL}", {"state": url}),
    )

    for each in loaded:
        assert isinstance(each.state, StoreUrl)
        assert each.state.read() == url
        assert each.folder is None
        assert "s3cr" not in repr(each)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:s3cret@db/runner",
        "postgresql://me:s3cret%zz@db/runner",
        "postgresql://me:s3cret%00@db/runner",
        "postgresql://me:p@s3cret@db/runner",
        "postgresql://me:p/s3cret@db/runner",
        "postgresql://me:p#s3cret@db/runner",
        "postgresql://me:p s3cret@db/runner",
    ],
)
def test_an_address_of_which_a_part_might_be_said_is_refused(load: Load, url: str) -> None:
    """PostgreSQL's library would quote of a password what it takes for a host or a port."""
    refusals = []
    for said in (
        {"flags": {"state": url}},
        {"environ": {"RUNNER_STATE": url}},
        {"text": f"state: '{url}'"},
        {"text": "state: {env: STORE_URL}", "environ": {"STORE_URL": url}},
    ):
        with pytest.raises(SettingsError) as caught:
            load(**said)
        refusals.append(caught.value.message)

    assert all("postgresql://user:password@host:port/name" in each for each in refusals)
    assert not any("s3cret" in each for each in refusals)


def test_a_folder_is_no_secret(load: Load) -> None:
    """What stands elsewhere is an address; a missing one stops the start."""
    with pytest.raises(SettingsError, match="store cannot be used: state must be"):
        load("state: {env: STORE_URL}", environ={"STORE_URL": "/var/lib/runner"})
    with pytest.raises(SettingsError, match=r"store cannot be used: .* variable STORE_URL"):
        load("state: {env: STORE_URL}")


# --- every option -------------------------------------------------------------------------------

OPTIONS = flags()
paths = pytest.mark.parametrize("option", OPTIONS, ids=[option.path for option in OPTIONS])


def chosen(loaded: Settings, option: Option) -> object:
    """What *loaded* holds for *option*."""
    value: object = loaded
    for step in option.path.split("."):
        key = {"env_allow": "env", "from": "sender"}.get(step, step)
        value = value.get(key) if isinstance(value, dict) else getattr(value, key)
    return value


@paths
def test_flag_variable_and_file_say_the_same(load: Load, option: Option) -> None:
    """The example of an option means one thing, wherever it is given, and not the default."""
    others = {"API_BASE": "here", "REGION": "north"}
    value = option.parse(option.example)
    for step in reversed(option.path.split(".")):
        value = {step: value}
    text = json.dumps(value)

    by_file = chosen(load(text, environ=others), option)
    by_flag = chosen(load(flags={option.path: option.example}, environ=others), option)
    by_variable = chosen(load(environ={option.variable: option.example, **others}), option)

    assert by_file == by_flag == by_variable
    assert by_file != chosen(load(environ=others), option)


@paths
def test_default_may_be_said_aloud(load: Load, option: Option) -> None:
    """The default that the help shows is a value that the flag takes."""
    default = option.default or option.example

    load(flags={option.path: default})


@paths
def test_option_explains_itself(option: Option) -> None:
    """The help teaches: each option has a sentence, an example, a flag and a variable."""
    assert option.description.endswith(".")
    assert option.example
    assert option.flag.startswith("--")
    assert option.variable == "RUNNER_" + option.flag[2:].replace("-", "_").upper()


def test_no_two_options_share_a_flag() -> None:
    """A flag means one option."""
    assert len({option.flag for option in OPTIONS}) == len(OPTIONS)


def test_maps_and_secrets_have_no_flag() -> None:
    """Who lists the processes of a machine sees their flags, and must not see a credential."""
    known = {option.path for option in OPTIONS}

    assert {"limits.body", "disable", "mail.from", "cors.origins"} <= known
    assert known.isdisjoint({"roles", "tokens", "databases", "recipients", "mail", "mail.url"})


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("limits.body", "1 MB", "--limits-body: limits.body must be"),
        ("limits.queue", "many", "for example --limits-queue=500"),
        ("limits.queue", "-1", "from 0 to"),
        ("limits.queue", "9" * 400, "must be a whole number"),
        ("allow_empty", "yes", "must be true or false"),
        ("on_invalid", "isolated", "one of isolate, refuse"),
        ("listen", "8055", "for example --listen=0.0.0.0:8055"),
        ("listen", "127.0.0.1:70000", "at most 65535"),
        ("state", "mysql://db/runner", "state must be a folder, none, or postgresql://"),
        ("trusted_proxies", "10.0.0.0/8,proxy", '"proxy" is neither'),
        ("egress.allow", "10.0.0.0/8,http://proxy", '"http://proxy" is neither'),
        ("env_allow", "A-B", "must be text like API_BASE"),
        ("drain", "25", "must be text like 5s"),
        ("flows", "", "--flows"),
        ("flows", "a\udc80b", "--flows"),
        ("flows", "a\x7fb", "--flows"),
    ],
)
def test_bad_flag_is_refused_with_a_reason_and_an_example(
    load: Load, path: str, text: str, words: str
) -> None:
    """A value that cannot be meant names its flag, the reason and what would do."""
    with pytest.raises(SettingsError) as caught:
        load(flags={path: text})

    assert words in caught.value.message


def test_bad_variable_is_refused_by_its_name(load: Load) -> None:
    """The message names the variable, for that is what the reader can change."""
    with pytest.raises(SettingsError, match=r"^RUNNER_DRAIN: .* for example RUNNER_DRAIN=5s$"):
        load(environ={"RUNNER_DRAIN": "soon"})


def test_empty_list_variable_empties_the_list(load: Load) -> None:
    """An environment can switch off what the file lists."""
    assert load("disable: [a, b]", environ={"RUNNER_DISABLE": ""}).disable == frozenset()


def test_list_variable_is_split_at_commas(load: Load) -> None:
    """Blanks around an item do not count."""
    loaded = load(environ={"RUNNER_DISABLE": "a, b/c ,"})

    assert loaded.disable == {"a", "b/c"}


# --- unknown variables --------------------------------------------------------------------------


def test_misspelt_variable_is_refused_with_the_nearest_name(load: Load) -> None:
    """A typo must not be a setting that silently does nothing."""
    with pytest.raises(SettingsError, match=r"^RUNNER_LIMIT_BODY .* RUNNER_LIMITS_BODY\?"):
        load(environ={"RUNNER_LIMIT_BODY": "1MiB"})


def test_secret_called_like_a_setting_is_told_to_be_renamed(load: Load) -> None:
    """The prefix is for settings alone."""
    with pytest.raises(SettingsError, match="a secret needs another name"):
        load(environ={"RUNNER_WAREHOUSE_PASSWORD": "x"})


def test_variable_that_is_like_no_other_gets_no_guess(load: Load) -> None:
    """A wrong guess is worse than none."""
    with pytest.raises(SettingsError) as caught:
        load(environ={"RUNNER_ZZZZ": "x"})

    assert "did you mean" not in caught.value.message


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "RUNNER_OS",
        "RUNNER_TEMP",
        "RUNNER_PORT",
        "RUNNER_PORT_8055_TCP_ADDR",
        "RUNNER_SERVICE_HOST",
        "RUNNER_API_SERVICE_PORT_HTTP",
    ],
)
def test_variables_of_ci_jobs_and_kubernetes_services_are_let_be(load: Load, name: str) -> None:
    """A CI job and a service that is called `runner` set variables nobody here has asked for."""
    load(environ={name: "x"})


# --- the file -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("limits:\n  bodi: 1MiB\n", [(2, 3, "unknown-key")]),
        ("drain: 25s\nlisten: nowhere\n", [(2, 9, "bad-value")]),
        ("drain: 10\nallow_empty: 'no'\n", [(1, 8, "wrong-type"), (2, 14, "wrong-type")]),
        ("listen: 'a:99999'\n", [(1, 9, "bad-value")]),
        ("state: mysql://db/runner\n", [(1, 8, "bad-value")]),
        ("trusted_proxies:\n  - 10.0.0.0/8\n  - ten\n", [(3, 5, "bad-value")]),
        (
            "egress:\n  allow: [a-b.c, '*.d']\n  deny: [1.2.3]\n",
            [(2, 18, "bad-value"), (3, 10, "bad-value")],
        ),
        ("on_invalid: stop\n", [(1, 13, "unknown-value")]),
        ("recipients:\n  nobody: {}\n", [(2, 11, "bad-value")]),
        ("a: [\n", None),
        ("- a\n", None),
        ("state: db://x\nlisten: 'a:99999'\n", [(1, 8, "bad-value"), (2, 9, "bad-value")]),
    ],
)
def test_issues_of_the_file_say_where(
    load: Load, text: str, expected: list[tuple[int, int, str]] | None
) -> None:
    """Each finding has the line and column of what has to be changed."""
    found = issues_of(load, text)

    assert found == expected if expected is not None else found[0][2].startswith("yaml-")


def test_unknown_key_names_the_nearest_one_and_the_file(load: Load, tmp_path: Path) -> None:
    """The message can be clicked on, and says what was probably meant."""
    with pytest.raises(InvalidSettings) as caught:
        load("flow: ./flows\n")

    assert caught.value.message.startswith(f"{tmp_path}/settings.yaml:1:1: error: ")
    assert 'did you mean "flows"?' in caught.value.message


def test_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    """A mistyped path does not mean the defaults."""
    with pytest.raises(SettingsError, match=r"missing\.yaml cannot be read: No such file"):
        settings.load({}, {}, tmp_path / "missing.yaml")


def test_unused_names_what_was_set_and_has_no_effect(load: Load) -> None:
    """The daemon can say at its start what it will not do."""
    text = "retention: {age: 1d}\nlimits: {body: 1MiB}\n"
    loaded = load(text, environ={"RUNNER_CORS_ORIGINS": "*"})

    assert loaded.unused() == ["cors"]


def test_options_without_effect_exist() -> None:
    """A name in NOT_YET that no option has would never be reported."""
    top = schema.load("settings")["properties"]

    for path in settings.NOT_YET:
        first, _, rest = path.partition(".")
        assert first in top
        assert not rest or rest in top[first]["properties"]


# --- the schema ---------------------------------------------------------------------------------


def test_schema_describes_every_property_and_closes_every_object() -> None:
    """An editor can complete and explain each line; a typo never passes."""

    def visit(node: object, where: str) -> None:
        if not isinstance(node, dict):
            return
        if "properties" in node:
            assert node["additionalProperties"] is False, where
            for key, child in node["properties"].items():
                assert child.get("description", "").endswith("."), f"{where}.{key}"
        for key, child in node.items():
            if key not in ("default", "examples"):
                visit(child, f"{where}.{key}")

    visit(schema.load("settings"), "settings")


# --- callers ------------------------------------------------------------------------------------


def tokens(*lines: str) -> str:
    """A settings file with roles and these tokens."""
    return ROLES + "tokens:\n" + "".join(f"  - {line}\n" for line in lines)


def test_bearer_of_a_token_is_known_with_user_and_role(load: Load) -> None:
    """A token says who calls and what they may do; UUIDs are lower-case from here on."""
    text = tokens(f"{{name: ci, user: {USER.upper()}, role: editor, token: s3cret}}")

    caller = load(text).caller("s3cret")

    assert caller is not None
    assert (caller.name, caller.user, caller.role.id) == ("ci", USER, USER)
    assert caller.role.allows("flows", "trigger")
    assert not caller.role.allows("executions", "read")
    assert caller.role.allows_collection("articles", "read")
    assert not caller.role.allows_collection("articles", "delete")
    assert not caller.role.allows_collection("authors", "read")


def test_admin_may_do_everything(load: Load) -> None:
    """`admin: true` needs no list."""
    role = load(ROLES).roles["admin"]

    assert role.allows("source", "reload")
    assert role.allows_collection("anything", "delete")


def test_public_role_exists_and_may_do_nothing_unless_written(load: Load) -> None:
    """Callers without a token have a role too."""
    assert not load().public.allows("flows", "read")
    assert load("roles: {public: {flows: [read]}}").public.allows("flows", "read")


def test_role_is_found_by_name_and_by_id(load: Load) -> None:
    """Flows may name a role either way."""
    loaded = load(ROLES)

    assert loaded.role("editor") is loaded.role(USER.upper()) is loaded.roles["editor"]
    assert loaded.role("nobody") is None


def test_non_ascii_tokens_are_compared_and_never_raise(load: Load) -> None:
    """Whatever bytes a header holds, the answer is yes or no."""
    loaded = load(tokens('{name: ci, role: admin, token: "schlüssel"}'))

    assert loaded.caller("schlüssel") is not None
    assert loaded.caller("schlüssel\udcff") is None
    assert loaded.caller("\ud800") is None


@pytest.mark.parametrize("bearer", ["", " ", "s3cre", "s3cret ", "S3CRET", "s3cret\n"])
def test_what_is_not_exactly_a_token_is_nobodys(load: Load, bearer: str) -> None:
    """Nothing is trimmed, folded or taken for the beginning of a token."""
    assert load(tokens("{name: ci, role: admin, token: s3cret}")).caller(bearer) is None


def test_empty_token_matches_nothing() -> None:
    """A caller without a token is nobody, whatever a token's source gives."""
    assert not Token(name="ci", role=Role(name="admin"), read=lambda: "").matches("")


def test_every_token_is_compared_for_every_bearer(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long an answer takes does not tell which token matched."""
    loaded = load(tokens(*(f"{{name: t{n}, role: admin, token: v{n}}}" for n in range(3))))
    compared: list[bytes] = []

    def compare(expected: bytes, bearer: bytes) -> bool:
        compared.append(expected)
        return expected == bearer

    monkeypatch.setattr("hmac.compare_digest", compare)

    caller = loaded.caller("v0")

    assert caller is not None
    assert compared == [b"v0", b"v1", b"v2"]


def test_token_from_the_environment(load: Load) -> None:
    """`{env: NAME}` keeps the token out of the file."""
    text = tokens("{name: ci, role: admin, token: {env: CI_TOKEN}}")

    assert load(text, environ={"CI_TOKEN": "abc"}).caller("abc") is not None
    assert load(text, environ={"CI_TOKEN": "\udcff"}).caller("\udcff") is not None


def test_token_file_is_read_again_and_matches_nobody_when_gone(load: Load, tmp_path: Path) -> None:
    """A token is rotated by writing its file, and revoked by removing it."""
    text = f"secrets_dir: {tmp_path}\n" + tokens("{name: ci, role: admin, token: {file: ci}}")
    file = tmp_path / "ci"
    file.write_text("old\n")
    loaded = load(text)
    assert loaded.caller("old") is not None

    file.write_text("new\n")

    assert loaded.caller("old") is None
    assert loaded.caller("new") is not None
    file.write_text("\n")
    assert loaded.caller("") is None
    file.unlink()
    assert loaded.caller("new") is None


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{env: CI_TOKEN}", "environment variable CI_TOKEN"),
        ("{env: RUNNER_FLOWS}", "which is a setting, never a secret"),
        ("{file: ci}", "/run/secrets-of-nobody/ci"),
    ],
)
def test_token_that_cannot_be_read_stops_the_start(load: Load, source: str, words: str) -> None:
    """A caller that nobody can be is a mistake, and the message says where was looked."""
    text = "secrets_dir: /run/secrets-of-nobody\n"
    text += tokens(f"{{name: ci, role: admin, token: {source}}}")

    with pytest.raises(SettingsError) as caught:
        load(text, environ={"CI_TOKEN": "", "RUNNER_FLOWS": "flows"})

    assert caught.value.message.startswith('the token "ci" cannot be read: ')
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("lines", "code", "line"),
    [
        (["{name: ci, role: editr, token: a}"], "unknown-role", 9),
        (
            ["{name: a, role: admin, token: a}", "{name: a, role: admin, token: b}"],
            "duplicate-name",
            10,
        ),
        (["{name: a, role: admin, token: ''}"], "bad-value", 9),
        (["{name: a, role: admin, token: {evn: A}}"], "unknown-key", 9),
        (["{name: a, role: admin, token: {env: A, file: b}}"], "bad-value", 9),
        (["{name: a, role: admin}"], "missing-key", 9),
    ],
)
def test_bad_tokens_are_issues_with_a_line(
    load: Load, lines: list[str], code: str, line: int
) -> None:
    """What a token cannot be is said where it stands."""
    found = issues_of(load, tokens(*lines))

    assert (found[0][0], found[0][2]) == (line, code)


def test_two_roles_with_one_id_are_an_issue(load: Load) -> None:
    """A role has one name; a flow that names its id must mean one role."""
    text = f"roles:\n  a: {{id: {USER}}}\n  b: {{id: {USER.upper()}}}\n"

    assert issues_of(load, text) == [(3, 11, "duplicate-id")]


def test_no_secret_is_in_the_representation(load: Load) -> None:
    """Settings that end up in a message give nothing away."""
    text = tokens("{name: ci, role: admin, token: s3cret}") + "mail: {url: 'smtp://u:s3cret@h'}\n"

    assert "s3cret" not in repr(load(text))


# --- where requests come from -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listen", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.1.2.3:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("[::ffff:127.0.0.1]:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("localhost.example.com:1", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(
    load: Load, listen: str, loopback: bool
) -> None:
    """What is open to local callers hangs on this."""
    assert load(flags={"listen": listen}).loopback is loopback


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("8.8.8.8", "1.1.1.1", "8.8.8.8"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", "9.9.9.9, 1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", "9.9.9.9, 1.1.1.1, 10.0.0.2", "1.1.1.1"),
        ("10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "1.1.1.1, unknown", "10.0.0.1"),
        ("::ffff:10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("not-an-address", "1.1.1.1", "not-an-address"),
    ],
)
def test_forwarded_addresses_are_believed_as_far_as_proxies_are_trusted(
    load: Load, peer: str, forwarded: str, client: str
) -> None:
    """Read from the right, the first address that is not a trusted proxy is the caller's."""
    loaded = load("trusted_proxies: [10.0.0.0/8]")

    assert loaded.client_ip(peer, forwarded) == client


def test_env_holds_the_allowed_variables_that_exist(load: Load) -> None:
    """A flow sees what was allowed, as text, and nothing else."""
    loaded = load("env_allow: [A, B]", environ={"A": "1", "C": "3"})

    assert dict(loaded.env) == {"A": "1"}


def test_tokens_are_told_as_well(tmp_path: Path) -> None:
    """Literal or not, a token is a secret."""
    file = tmp_path / "settings.yaml"
    file.write_text(
        tokens("{name: a, role: admin, token: lit}", "{name: b, role: admin, token: {env: T}}")
    )
    heard: list[str] = []

    settings.load({}, {"T": "var"}, file, heard.append)

    assert heard == ["lit", "var"]


# --- databases ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///data.db",
        "sqlite:////var/lib/a b/data.db",
        "postgresql://me:s3cret@db.example.com:5432/orders?sslmode=require",
        "postgres://db/orders",
        "postgresql:///orders",
    ],
)
def test_database_is_a_file_of_sqlite_or_a_server_of_postgresql(load: Load, url: str) -> None:
    """Its address is read when it is used."""
    loaded = load(f"databases: {{default: {{url: '{url}'}}}}")

    assert loaded.databases["default"].url() == url


@pytest.mark.parametrize(
    "url",
    [
        "mysql://db/orders",
        "sqlite://data.db",
        "sqlite:///:memory:",
        "sqlite:///a.db?x=1",
        "data.db",
    ],
)
def test_other_addresses_of_databases_are_issues(load: Load, url: str) -> None:
    """The message names what there is, and does not repeat what may hold a password."""
    text = f"databases:\n  default:\n    url: '{url}'\n"

    with pytest.raises(InvalidSettings) as caught:
        load(text)
    with pytest.raises(SettingsError) as read:
        load("databases: {default: {url: {env: URL}}}", environ={"URL": url})

    issue = caught.value.issues[0]
    assert (issue.line, issue.column, issue.code) == (3, 10, "bad-value")
    assert "begins with sqlite:/// and a path, or postgresql://" in issue.message
    assert url not in read.value.message
    assert read.value.message.startswith('the database "default" cannot be used: ')


def test_database_whose_secret_is_missing_stops_the_start(load: Load) -> None:
    """As a token does."""
    with pytest.raises(SettingsError, match="environment variable URL"):
        load("databases: {default: {url: {env: URL}}}", environ={})


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("postgresql://me:s3cr%20et@db/x", "s3cr et"),
        ("postgresql://db/x?user=me&password=s3cr%2Fet", "s3cr/et"),
        ("postgresql://me:a/b?c:d@db/x", "a/b?c:d"),
        ("postgresql://me:s3cr@et@db/x", "s3cr@et"),
    ],
)
def test_password_of_a_database_is_told_alone_too(tmp_path: Path, url: str, password: str) -> None:
    """Drivers and servers may speak of it without the address around it."""
    file = tmp_path / "settings.yaml"
    file.write_text("databases: {default: {url: {env: URL}}}")
    heard: list[str] = []

    loaded = settings.load({}, {"URL": url}, file, heard.append)

    assert heard[0] == url
    assert password in heard[1:]
    assert "s3cr" not in repr(loaded)
