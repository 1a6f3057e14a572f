// Makes the calls that stand on stdin with one Directus SDK, and prints what came of each.
//
//   node drive.mjs PACKAGE URL <<< '[{"name", "token", "command", "arguments", "helper"}, …]'
//
// One line of JSON a call: {name, method, status, ok: true, value} or {…, ok: false, error}.
import { text } from 'node:stream/consumers';

const [, , packageName, url] = process.argv;

// What went over the wire, told beside what the SDK makes of it. Before the SDK is loaded, for it
// keeps the fetch that it finds.
let wire = {};
const fetched = globalThis.fetch;
globalThis.fetch = async (resource, options) => {
	const response = await fetched(resource, options);
	wire = { method: options.method, status: response.status };
	return response;
};

const sdk = await import(packageName);

for (const call of JSON.parse(await text(process.stdin))) {
	wire = {};
	const came = await outcome(call);
	console.log(JSON.stringify({ name: call.name, ...wire, ...came }));
}

async function outcome(call) {
	try {
		return { ok: true, value: await made(call) };
	} catch (error) {
		return { ok: false, error: described(error) };
	}
}

function made({ token, command, arguments: given, helper }) {
	const client = sdk
		.createDirectus(url)
		.with(sdk.staticToken(token))
		.with(sdk.rest())
		.with(sdk.graphql());
	if (command === 'query') return client.query(...given);
	return client.request(helped(helper, sdk[command](...given)));
}

function helped(helper, command) {
	if (helper === 'search') return (sdk.withSearch ?? sdk.asSearch)(command); // the same, renamed
	if (helper) return sdk.withToken(helper, command);
	return command;
}

function described(error) {
	return {
		name: error.name ?? null,
		message: error.message ?? null,
		status: error.response?.status ?? null,
		errors: error.errors ?? null,
	};
}
