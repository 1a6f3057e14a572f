// What a script says on the console, and every report that is more than a value. Evaluated when a
// script needs it, with two functions of script_prelude.js.
((stringify, plain) => {
  'use strict';

  const MAX_DEPTH = 100; // as in jsontext.py
  const MAX_LINES = 1000;
  const MAX_SAID = 64 << 10; // characters of all lines together

  // --- console

  let said = '';
  let count = 0;
  let unsaid = 0;
  let room = MAX_SAID;

  const line = (severity) => (...values) => {
    if (count === MAX_LINES || room <= 0) {
      unsaid++;
      return;
    }
    let text = '';
    for (let index = 0; index < values.length; index++) {
      text += (index ? ' ' : '') + shown(values[index]);
    }
    if (text.length > room) text = `${text.slice(0, room)}\u2026`;
    room -= text.length;
    said += `${count++ ? ',' : ''}["${severity}",${stringify(text)}]`;
  };

  const console = {
    log: line('INFO'), info: line('INFO'), warn: line('WARNING'), error: line('ERROR'),
    debug: line('DEBUG'), trace: line('DEBUG'),
  };

  function shown(value) {
    if (typeof value === 'string') return value;
    if (value === undefined) return 'undefined';
    try {
      return Error.isError(value) ? `${value.name}: ${value.message}` : stringify(value, plain);
    } catch {
      return `[${typeof value}]`;
    }
  }

  // --- the report

  function report(failed, state, outcome) {
    const what = failed ? `"failed":"${failed}"` : described(state, outcome);
    const text = `{${what}${count ? `,"console":[${said}],"unsaid":${unsaid}` : ''}}`;
    // The worker can only take a text that is in one piece, as the names of members are.
    for (const whole in { __proto__: null, [text]: 1 }) return whole;
  }

  function described(state, outcome) {
    switch (state) {
      case 'pending': return '"failed":"PENDING"';
      case 'missing': return error('TypeError', 'module.exports is not a function');
      case 'value': return guarded(() => value(outcome));
    }
    return guarded(() => rejection(outcome));
  }

  // What a script returns or throws may throw again when it is read.
  function guarded(describe) {
    try {
      return describe();
    } catch (thrown) {
      try {
        return rejection(thrown);
      } catch {
        return error('Error', 'the script threw an error that throws when it is read');
      }
    }
  }

  function value(outcome) {
    try {
      return `"value":${stringify(outcome, plain)}`;
    } catch (thrown) {
      if (thrown === null || thrown?.name === 'InternalError') throw thrown; // out of memory
      const found = flaw(outcome, 'result', []);
      if (!found) throw thrown;
      return error('TypeError', found);
    }
  }

  // What of *value* JSON cannot say, and where it is; nothing where there is no such thing.
  function flaw(value, path, above) {
    switch (typeof value) {
      case 'bigint': case 'function': case 'symbol':
        return `${path} is a ${typeof value}, which JSON cannot say`;
      case 'object': break;
      default: return '';
    }
    if (value === null) return '';
    if (typeof value.then === 'function') return `${path} is a promise that nobody awaits`;
    if (above.includes(value)) return `${path} holds itself, which JSON cannot say`;
    if (above.length === MAX_DEPTH) return `the result is nested deeper than ${MAX_DEPTH}`;
    for (const key of Object.keys(value)) {
      const part = Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`;
      const found = flaw(value[key], part, [...above, value]);
      if (found) return found;
    }
    return '';
  }

  function rejection(thrown) {
    if (Error.isError(thrown)) return ofError(thrown);
    switch (thrown === null ? 'null' : typeof thrown) {
      case 'object': case 'function':
        return error('Error', 'the script threw an object that is not an Error');
      case 'bigint': case 'symbol':
        return error('Error', `the script threw a ${typeof thrown}`);
    }
    return `"thrown":${stringify(thrown, plain)}`;
  }

  function ofError(thrown) {
    const { name, message, code, status } = thrown;
    // The engine's own words; where there is no memory even for them, it leaves them out.
    if (name === 'InternalError' && (message === 'out of memory' || message === '')) {
      return '"failed":"OUT_OF_MEMORY"';
    }
    // Where code does not parse, the engine says in the stack only.
    const place = /^ +at <input>:(\d+):(\d+)\n +at eval \(native\)\n +at begin /.exec(thrown.stack);
    const where = place ? ` (line ${place[1]}, column ${place[2]})` : '';
    const named = typeof code === 'string' && Object.hasOwn(thrown, 'code');
    const known = Number.isInteger(status) && Object.hasOwn(thrown, 'status');
    return error(
      typeof name === 'string' ? name : 'Error',
      typeof message === 'string' ? message + where : '',
      (named ? `,"code":${stringify(code)}` : '') + (known ? `,"status":${stringify(status)}` : ''),
    );
  }

  function error(name, message, more = '') {
    return `"error":{"name":${stringify(name)},"message":${stringify(message)}${more}}`;
  }

  return { console, report };
})
