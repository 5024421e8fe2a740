// The scenarios of a CommonJS project: `require` of ES modules, Node 20.19 and later.
const { run } = require('./scenarios.mjs');

const names = process.argv.slice(2);
void run(async (specifier) => require(specifier), names.length > 0 ? names : undefined);
