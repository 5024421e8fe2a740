import { readFile, writeFile } from 'node:fs/promises';
import { environmentLines, tables, type Results } from './report.js';

const RESULTS = new URL('../results/', import.meta.url);
const PAGE = new URL('../../docs/benchmarks.md', import.meta.url);

const BEGIN = '<!-- results: begin (written by npm run bench -- --json) -->';
const END = '<!-- results: end -->';

/** Writes the results file and the tables of the documentation; returns the file's name. */
export async function publish(results: Results): Promise<string> {
  const name = `${results.date}-foundation.json`;
  await writeFile(new URL(name, RESULTS), `${JSON.stringify(results, null, 2)}\n`);
  const page = await readFile(PAGE, 'utf8');
  const [head, rest] = split(page, BEGIN);
  const [, tail] = split(rest, END);
  const source = `Run of ${results.date}, \`${results.command}\`; all figures: \`bench/results/${name}\`.`;
  const content = [source, environmentLines(results).join('\n'), tables(results)].join('\n\n');
  await writeFile(PAGE, `${head}${BEGIN}\n\n${content}\n\n${END}${tail}`);
  return name;
}

function split(text: string, mark: string): [string, string] {
  const at = text.indexOf(mark);
  if (at < 0) throw new Error(`docs/benchmarks.md has lost its mark ${mark}`);
  return [text.slice(0, at), text.slice(at + mark.length)];
}
