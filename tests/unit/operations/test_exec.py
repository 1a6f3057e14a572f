"""JavaScript, run by real processes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from runner import jsontext, scripts, settings
from runner.errors import OperationError
from runner.model import Result, Status
from runner.operations import exec as exec_
from runner.types import JSONObject, JSONValue
from tests.world import World


async def run(
    code: str, trigger: JSONValue = None, world: World | None = None, **limits: str
) -> Result:
    """How a flow ends that runs *code* and returns what comes of it."""
    world = world or World()
    made = settings.load({f"limits.script_{name}": value for name, value in limits.items()}, {})
    async with world.opened(made):
        return await world.operate("exec", {"code": code}, trigger)


def function(body: str) -> str:
    """Code that exports a function of *body*."""
    return f"module.exports = async function(data) {{ {body} }}"


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("", None),
        ("return null", None),
        ("return undefined", None),
        ("return 0", 0),
        ("return ''", ""),
        ("return [true, 'x', 1.5, -0]", [True, "x", 1.5, 0]),
        ("return {a: {b: 1}}", {"a": {"b": 1}}),
        ("return {a: undefined, b: [undefined, 1]}", {"a": None, "b": [None, 1]}),
        ("return [, 1]", [None, 1]),
        ("return [NaN, Infinity, -Infinity]", [None, None, None]),
        ("return {date: new Date(0), map: new Map([[1, 2]])}", {"date": {}, "map": {}}),
        ("return [new Set([1]), /x/g, new Date(NaN)]", [{}, {}, {}]),
        ("return new class { a = 1; #b = 2; get c() { return 3 } }", {"a": 1}),
        ("return Object.create({inherited: 1}, {hidden: {value: 2}})", {}),
        ("return Object.assign([1], {extra: 2})", [1]),
        ("return {[Symbol('s')]: 1}", {}),
        ("return {get a() { return 5 }}", {"a": 5}),
        ("return new Proxy([1, 2], {})", [1, 2]),
        ("return new Uint8Array([7])", {"0": 7}),
        ("return 1e300", 1e300),
        ("return '\\ud83d\\ude00 \\u0000'", "😀 \0"),
        ("return {'\\ud83d': '\\ud83d \\\\ud83d \\ude00'}", {"\ufffd": "\ufffd \\ud83d \ufffd"}),
        ("return 'x'.repeat(20000) + 'y'.repeat(20000)", "x" * 20000 + "y" * 20000),
        ("const x = await Promise.resolve(5); return await x + 1", 6),
        ("return {then(resolve) { resolve(7) }}", 7),
        ("return [typeof setTimeout, typeof fetch, typeof Buffer]", ["undefined"] * 3),
        ("return [typeof std, typeof os, typeof print]", ["undefined"] * 3),
        ("return global === globalThis && this === module", True),
    ],
)
async def test_what_a_function_returns_is_the_value(body: str, value: JSONValue) -> None:
    """As JSON: undefined is null, objects are their own members, a promise is awaited."""
    assert await run(function(body)) == (Status.RESOLVED, value)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("() => 1", "result is a function, which JSON cannot say"),
        ("Symbol('s')", "result is a symbol, which JSON cannot say"),
        ("10n", "result is a bigint, which JSON cannot say"),
        ("({a: [1, {b() {}}]})", "result.a[1].b is a function, which JSON cannot say"),
        ("({toJSON() { return 1 }})", "result.toJSON is a function, which JSON cannot say"),
        ("({a: [[2n]]})", "result.a[0][0] is a bigint, which JSON cannot say"),
        ("[async () => 1].map(f => f())", "result[0] is a promise that nobody awaits"),
        ("(() => { const a = {}; a.x = [a]; return a })()", "result.x[0] holds itself"),
        ("nested(100)", "nested deeper than 100"),
        ("nested(100_000)", "nested deeper than 100"),
        ("nested(99)", "the result of the script cannot be read: nested deeper than 100"),
        ("new Proxy({a: 1}, {get() { throw new Error('no') }})", "no"),
        ("new Promise(() => {})", "the script waits for a promise that never settles"),
        ("({then() {}})", "the script waits for a promise that never settles"),
    ],
)
async def test_what_json_cannot_say_rejects(expression: str, message: str) -> None:
    """The message says what it is, and where."""
    nested = "const nested = n => { let a = {}; for (; n > 0; n--) a = [a]; return a };"

    result = await run(function(f"{nested} return {expression}"))

    assert result.status is Status.REJECTED
    assert isinstance(result.value, dict)
    assert message in result.value["message"]


_NUMBERS = st.integers(-(2**53), 2**53) | st.floats(-(2**53), 2**53)
_LEAVES = st.none() | st.booleans() | _NUMBERS | st.text()
_VALUES: st.SearchStrategy[Any] = st.recursive(
    _LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(st.lists(_VALUES))
@budget(max_examples=15)  # each of them starts a process
async def test_a_value_passes_unchanged(values: list[JSONValue]) -> None:
    """What a script is given and returns is the same afterwards."""
    assert await run(function("return data.$trigger"), values) == (Status.RESOLVED, values)


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thrown", "value"),
    [
        ("new Error('boom')", {"name": "Error", "message": "boom"}),
        ("new TypeError('boom')", {"name": "TypeError", "message": "boom"}),
        ("new Error()", {"name": "Error", "message": ""}),
        (
            "Object.assign(new Error('m'), {code: 'OUT', status: 418, more: 1})",
            {"name": "Error", "message": "m", "code": "OUT", "status": 418},
        ),
        (
            "Object.assign(new Error('m'), {code: 5, status: '418'})",
            {"name": "Error", "message": "m"},
        ),
        ("new class Own extends Error { name = 'Own' }('m')", {"name": "Own", "message": "m"}),
        ("Object.assign(new Error('m'), {name: 1})", {"name": "Error", "message": "m"}),
        ("'plain'", "plain"),
        ("'[1, {\"a\": 2}]'", [1, {"a": 2}]),
        ("'NaN'", "NaN"),
        ("''", ""),
        ("null", None),
        ("undefined", None),
        ("'null'", None),
        ("5", 5),
        ("false", False),
    ],
)
async def test_what_is_thrown_is_the_error(thrown: str, value: JSONValue) -> None:
    """Errors keep name and message, never a stack; texts that are JSON stand for what they say."""
    assert await run(function(f"throw {thrown}")) == (Status.REJECTED, value)


@pytest.mark.parametrize("thrown", ["{message: 'm'}", "[1, 2]", "() => 1", "10n", "Symbol()"])
async def test_other_things_that_are_thrown_become_an_error(thrown: str) -> None:
    """Which says that it was none."""
    result = await run(function(f"throw {thrown}"))

    assert result.status is Status.REJECTED
    assert isinstance(result.value, dict)
    assert result.value["name"] == "Error"
    assert result.value["message"].startswith("the script threw a")


@pytest.mark.parametrize(
    ("code", "name", "message"),
    [
        ("const a = 1", "TypeError", "module.exports is not a function"),
        ("module.exports = 5", "TypeError", "module.exports is not a function"),
        ("throw new Error('top')", "Error", "top"),
        ("module.exports = () => { throw new Error('sync') }", "Error", "sync"),
        ("module.exports = () => Promise.reject(new Error('later'))", "Error", "later"),
        ("module.exports = () => require('fs')", "ReferenceError", "require is not defined"),
        ("module.exports = () => import('os')", "ReferenceError", "could not load module 'os'"),
        ("module.exports = () => import('/etc/passwd')", "ReferenceError", "could not load"),
        ("import fs from 'fs'", "SyntaxError", " (line 1, column 8)"),
        ("let a = 1;\n  let b = ;", "SyntaxError", " (line 2, column 11)"),
        ("module.exports = () => JSON.parse('{')", "SyntaxError", "in JSON at position 1"),
        ("module.exports = () => (function f() { f() })()", "RangeError", "call stack"),
    ],
)
async def test_code_that_cannot_be_run_rejects(code: str, name: str, message: str) -> None:
    """In the engine's words; of what does not parse they say the place in the author's code."""
    result = await run(code)

    assert result.status is Status.REJECTED
    assert isinstance(result.value, dict)
    assert result.value["name"] == name
    assert message in result.value["message"]
    assert set(result.value) == {"name", "message"}


# --- what a script finds ------------------------------------------------------------------------


async def test_data_is_a_copy_of_the_chain_without_secrets() -> None:
    """With `$error` and `$execution`; changing it changes nothing."""
    world = World(env={"REGION": "eu"}, secrets={"TOKEN": "s3cret-t0ken"})
    code = function("data.first.a = 2; return data")
    operations: list[JSONObject] = [
        {"key": "first", "type": "transform", "options": {"json": {"a": 1}}},
        {"key": "bad", "type": "transform", "options": {"json": "no JSON"}, "reject": "see"},
        {"key": "see", "type": "exec", "options": {"code": code}},
    ]
    operations[1]["resolve"] = "see"
    flow = {"name": "x", "trigger": "operation", "options": {"return": "$all"}}
    await world.load_files({"x.yaml": jsontext.write({**flow, "operations": operations})})

    async with world.opened(settings.load({}, {})):
        result = await world.run("x", {"n": 5})

    assert isinstance(result.value, dict)
    seen = result.value["see"]
    assert set(seen) - {"first", "bad"} == {
        "$trigger", "$last", "$accountability", "$env", "$error", "$execution",
    }  # fmt: skip
    assert (seen["$trigger"], seen["$env"]) == ({"n": 5}, {"REGION": "eu"})
    assert (seen["$error"]["operation"], seen["$execution"]["attempt"]) == ("bad", 1)
    assert (seen["first"], result.value["first"]) == ({"a": 2}, {"a": 1})


async def test_the_environment_is_env_and_a_copy_too() -> None:
    """Neither is that of the process."""
    world = World(env={"REGION": "eu"})
    body = "process.env.MORE = 'x'; return [process.env, data.$env]"

    result = await run(function(body), world=world)

    assert result.value == [{"REGION": "eu", "MORE": "x"}, {"REGION": "eu"}]


async def test_nothing_is_left_for_the_next_script() -> None:
    """Each has a context of its own."""
    world = World()
    code = function("const seen = typeof globalThis.left; globalThis.left = 1; return seen")

    async with world.opened(settings.load({}, {})):
        results = [await world.operate("exec", {"code": code}) for _ in range(5)]

    assert [result.value for result in results] == ["undefined"] * 5


async def test_code_of_a_megabyte_runs() -> None:
    """Its size is no matter."""
    code = function(f"return '{'x' * 1_000_000}'.length")

    assert await run(code) == (Status.RESOLVED, 1_000_000)


async def test_a_chain_without_end_rejects() -> None:
    """Parts of a value may share what they hold: small in memory, endless in a text."""
    pairs = [
        {"key": f"k{n}", "type": "transform", "options": {"json": ["{{ $last }}", "{{ $last }}"]}}
        for n in range(40)
    ]
    it = {"key": "it", "type": "exec", "options": {"code": function("return 1")}}
    flow = {"name": "x", "trigger": "operation", "operations": [*pairs, it], "tracking": "none"}
    world = World()
    await world.load_files({"x.yaml": jsontext.write(flow)})

    async with world.opened(settings.load({}, {})):
        result = await world.run("x", 1)

    assert isinstance(result.value, dict)
    assert result.value["code"] == "DATA_TOO_LARGE"


async def test_a_chain_that_is_written_larger_than_it_is_rejects() -> None:
    """JSON makes six characters of some."""
    result = await run(function("return 1"), "\x01" * 2_000_000)

    assert isinstance(result.value, dict)
    assert result.value["code"] == "DATA_TOO_LARGE"


# --- console ------------------------------------------------------------------------------------


async def test_what_a_script_says_is_in_the_records() -> None:
    """Texts as they are, all else as JSON; nothing that is said can fail."""
    world = World()
    body = """
        const ring = []; ring.push(ring);
        console.log('a', 1, {b: [undefined, 'c']}, null, undefined);
        console.info(new TypeError('boom'), new Date(0));
        console.warn(() => 1, 10n, Symbol('s'), ring);
        console.error({get a() { throw 1 }});
        console.debug(); console.trace('\\ud800');
    """

    await run(function(body), world=world)

    said = [(each["severity"], each["message"]) for each in world.said("log.message")]
    assert said == [
        ("INFO", 'a 1 {"b":[null,"c"]} null undefined'),
        ("INFO", "TypeError: boom {}"),
        ("WARNING", "[function] [bigint] [symbol] [object]"),
        ("ERROR", "[object]"),
        ("DEBUG", ""),
        ("DEBUG", "\ufffd"),
    ]
    assert {each["operation"] for each in world.said("log.message")} == {"it"}


@pytest.mark.parametrize(
    ("body", "time", "code"),
    [
        ("throw new Error('x')", "10s", None),
        ("return new Promise(() => {})", "10s", None),
        ("for (;;);", "200ms", "TIMED_OUT"),
        ("while (true) await null", "200ms", "TIMED_OUT"),
        ("return new Array(1e9).fill(1)", "10s", "OUT_OF_MEMORY"),
        ("globalThis.a = []; for (;;) a.push({})", "10s", "OUT_OF_MEMORY"),
    ],
)
async def test_what_was_said_is_kept_when_the_script_fails(
    body: str, time: str, code: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it fails, short of taking its process along."""
    monkeypatch.setattr(scripts, "_GRACE", 30.0)
    world = World()

    result = await run(function(f"console.log('before'); {body}"), world=world, time=time)

    assert isinstance(result.value, dict)
    assert result.value.get("code") == code
    assert [each["message"] for each in world.said("log.message")] == ["before"]


async def test_a_script_that_shouts_is_cut_short() -> None:
    """Altogether it may say 64 Ki characters; a record keeps its own bound."""
    world = World()

    await run(function("for (let i = 0; i < 3; i++) console.log('x'.repeat(1e6))"), world=world)

    first, last = (each["message"] for each in world.said("log.message"))
    assert first.startswith("xxx")
    assert last == "lines left out: 2"
    assert all(len(line) <= 15_000 for line in world.kept.lines)


# --- scripts that mean harm ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "harm",
    [
        "JSON.stringify = () => 'boo'",
        "Object.prototype.toJSON = Array.prototype.toJSON = String.prototype.toJSON = () => 5",
        "Array.prototype.push = Array.prototype[Symbol.iterator] = null",
        "Promise.prototype.then = () => {}",
        "globalThis.Promise = globalThis.Object = globalThis.eval = null",
        "Object.keys = Array.isArray = Error.isError = Object.hasOwn = null",
        "Function.prototype.call = Function.prototype.bind = String.prototype.slice = null",
        "RegExp.prototype.exec = Array.prototype.map = Array.prototype.join = null",
        "Object.defineProperty(Object.prototype, 'name', {get() { throw 5 }, set() { throw 6 }})",
        "Object.defineProperty(Object.prototype, 'above', {get() { throw 5 }, set() { throw 6 }})",
        "Object.prototype.value = Object.prototype.path = Object.prototype.get = 1",
        "Error.prepareStackTrace = Error.prototype.toString = () => { throw 5 }",
        "for (const key of Reflect.ownKeys(globalThis)) try { delete globalThis[key] } catch {}",
        "Object.freeze(globalThis)",
    ],
)
async def test_overwriting_what_there_is_changes_no_value(harm: str) -> None:
    """A value is written with what was there before the script; an error is one in any case."""
    world = World()
    body = f"{harm}; console.log('l'); if (!data.$trigger) throw own; return {{a: [1, {{b: 2}}]}}"
    code = function(f"const own = new TypeError('x'); {body}")

    async with world.opened(settings.load({}, {})):
        returned = await world.operate("exec", {"code": code}, True)
        thrown = await world.operate("exec", {"code": code}, False)
        after = await world.operate("exec", {"code": function("return 1")})

    assert returned == (Status.RESOLVED, {"a": [1, {"b": 2}]})
    assert thrown.status is Status.REJECTED
    assert after == (Status.RESOLVED, 1)
    assert [each["message"] for each in world.said("log.message")] == ["l", "l"]


@pytest.mark.parametrize(
    "harm",
    [
        "Object.defineProperty(Promise.prototype, 'constructor', {get() { throw 5 }})",
        "Object.prototype.then = function() {}",
        "Object.defineProperty(Object.prototype, 'then', {get() { throw 5 }})",
        "Object.defineProperty(Array.prototype, '0', {set() { throw 5 }})",
        "throw {get message() { for (;;); }}",
        "throw Object.defineProperty(new Error(), 'message', {get() { throw this }})",
        "return new Proxy({}, {ownKeys() { for (;;); }})",
        "return {toJSON() { for (;;); }}",
        "(async () => { while (true) await null })(); return 1",
        "Error.prototype.toString = () => { for (;;); }; for (;;);",
        "Error.prepareStackTrace = () => { for (;;); }; for (;;) new Error()",
    ],
)
async def test_a_script_spoils_nothing_but_its_own_result(harm: str) -> None:
    """What it can do to itself ends in a rejection, and the next one does not notice."""
    world = World()
    await run(function(f"{harm}; return [1]"), world=world, time="100ms")

    assert await run(function("return [1]"), world=world) == (Status.RESOLVED, [1])


# --- declaring it -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", ["module.exports = () => '{{ $trigger.name }}'", "() => {{ $last }}"]
)
async def test_a_template_in_code_is_warned_of(world: World, code: str) -> None:
    """Whoever chooses the value writes code; the warning says what to do instead."""
    operation = {"type": "exec", "options": {"code": code}}
    flow = {"name": "x", "trigger": "operation", "operations": [operation]}

    loaded = await world.load_files({"x.yaml": jsontext.write(flow)})

    (issue,) = loaded.issues
    assert (issue.severity, issue.code) == ("warning", "template-in-code")
    assert "`data`" in str(issue)


async def test_a_template_in_code_is_replaced_as_everywhere() -> None:
    """Like Directus does it; a path that leads nowhere leaves nothing."""
    written = "module.exports = async () => '{{ $trigger.name }}'"
    nowhere = "module.exports = async () => { const f = () => {{ return 1 }}; return f }"

    assert await run(written, {"name": "Ada"}) == (Status.RESOLVED, "Ada")
    assert (await run(nowhere)).status is Status.REJECTED


async def test_a_brace_alone_is_no_template(world: World) -> None:
    """Ordinary code is not warned of, and stays as it is."""
    assert exec_.prepare({"code": function("return {a: {b: 1}}")}).warnings == ()


def test_an_error_may_be_null() -> None:
    """`throw null` is a rejection with null, and not with an error about it."""
    assert OperationError("x", data=None).as_data() is None
    assert OperationError("x").as_data() == {"name": "OperationError", "message": "x"}
