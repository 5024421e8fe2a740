// The scenarios of an ES module project.
import { run } from './scenarios.mjs';

const names = process.argv.slice(2);
await run((specifier) => import(specifier), names.length > 0 ? names : undefined);
