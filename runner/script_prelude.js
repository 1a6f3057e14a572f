// What a script finds, how it begins, and its value as JSON. Evaluated in every fresh context, so
// that each line costs each script: what only some scripts need is in script_report.js, whose text
// is given here and evaluated when it is needed.
//
// A script may overwrite all that it can reach. What it has spoilt spoils its own outcome only:
// the text of a report is put together by what is taken here, before the script begins.
((rest) => {
  'use strict';
  const evaluate = eval; // by another name, it evaluates in the global scope
  const { stringify } = JSON;
  let loaded;
  const more = () => loaded ??= evaluate(rest)(stringify, plain);

  // For `stringify`: own enumerable members, whatever `toJSON` says, and null for undefined.
  // Throws itself at what JSON cannot say.
  function plain(key) {
    const value = this[key];
    switch (typeof value) {
      case 'undefined': return null;
      case 'object': if (value !== null && typeof value.then === 'function') throw plain; break;
      case 'bigint': case 'function': case 'symbol': throw plain;
    }
    return value;
  }

  const module = {};
  const process = {};
  Object.assign(globalThis, { global: globalThis, module, process });
  Object.defineProperty(globalThis, 'console', { get: () => more().console, configurable: true });

  let state = 'pending';
  let outcome;

  async function begin(code, data) {
    try {
      process.env = { ...data.$env };
      evaluate(code);
      if (typeof module.exports !== 'function') return state = 'missing';
      outcome = await module.exports(data);
      state = 'value';
    } catch (thrown) {
      outcome = thrown;
      state = 'thrown';
    }
  }

  // The worker calls this: with code and data to begin; when nothing is left to do, with the
  // reason why the script failed, or without one, for the report.
  return (first, data) => {
    if (data !== undefined) {
      begin(first, data);
      return;
    }
    try {
      if (!loaded && !first && state === 'value') return stringify({ value: outcome }, plain);
    } catch {
      // That it cannot be written is for the report to explain.
    }
    return more().report(first, state, outcome);
  };
})
