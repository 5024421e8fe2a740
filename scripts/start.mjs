// Builds when needed, then runs the reference service in this process, so that signals reach it.
import { buildIfNeeded } from './lib/build-if-needed.mjs';

await buildIfNeeded();
process.setSourceMapsEnabled(true);
await import(new URL('../dist/main.js', import.meta.url).href);
