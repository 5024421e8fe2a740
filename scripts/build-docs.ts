// Writes what the documentation takes from the code: docs/keyspaces.md from the `defineKeyspace`
// declarations, the options tables from the doc comments, and code blocks from examples/.
// `--check` compares instead of writing and fails when a page is out of date. Markers in a page:
//   <!-- options:start Name OtherName --> ... <!-- options:end -->      properties of interfaces
//   <!-- include:examples/name.ts#region --> ... <!-- include:end -->   a file, or a `#region` of it
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { format, resolveConfig } from 'prettier';
import ts from 'typescript';
import { resolveTtl, TTL_TIERS, type Keyspace, type TtlTier } from '../src/redis/index.js';
import { root } from './lib/run.mjs';

const COMMAND = 'node --import @swc-node/register/esm-register scripts/build-docs.ts';
const check = process.argv.includes('--check');
const sources = filesUnder('src', /(?<!\.spec)\.ts$/).filter((file) => !file.includes(join('src', 'app')));
const { interfaces, choices } = readTypes(sources);
const keyspaces = await readKeyspaces(sources);

let stale = 0;
await update(join(root, 'docs', 'keyspaces.md'), keyspacesPage(keyspaces));
for (const page of [join(root, 'README.md'), ...filesUnder('docs', /\.md$/)]) {
  if (existsSync(page)) await update(page, withIncludes(withOptions(readFileSync(page, 'utf8'), page), page));
}
if (check && stale > 0) process.exitCode = 1;

function filesUnder(folder: string, name: RegExp): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && name.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

async function update(page: string, content: string): Promise<void> {
  const formatted = await format(content, { ...(await resolveConfig(page)), filepath: page });
  if (existsSync(page) && readFileSync(page, 'utf8') === formatted) return;
  stale += 1;
  const name = relative(root, page);
  if (check) process.stderr.write(`${name} is out of date; run: ${COMMAND}\n`);
  else writeFileSync(page, formatted);
}

// --- Keyspaces ---------------------------------------------------------------------------------

/** Imports every file that declares keyspaces and takes them from its exports. */
async function readKeyspaces(files: readonly string[]): Promise<Keyspace[]> {
  const found = new Map<string, Keyspace>();
  for (const file of files) {
    const declared = readFileSync(file, 'utf8').match(/^(?:export )?const \w+ = defineKeyspace\(/gm) ?? [];
    if (declared.length === 0) continue;
    const exported = Object.values((await import(pathToFileURL(file).href)) as object).filter(isKeyspace);
    if (exported.length !== declared.length) {
      throw new Error(`${relative(root, file)}: export every keyspace, so that it can be listed`);
    }
    for (const keyspace of exported) found.set(keyspace.pattern, keyspace);
  }
  return [...found.values()].sort((a, b) => a.pattern.localeCompare(b.pattern));
}

function isKeyspace(value: unknown): value is Keyspace {
  return typeof value === 'object' && value !== null && 'definition' in value && 'pattern' in value;
}

function keyspacesPage(all: readonly Keyspace[]): string {
  const rows = all.map((keyspace) => {
    const { capability, name, value, description } = keyspace.definition;
    return [capability, name, `\`${keyspace.pattern}\``, timeToLive(keyspace), value, description];
  });
  const tiers = Object.keys(TTL_TIERS).map((tier) => [`\`'${tier}'\``, humanMs(resolveTtl(tier as TtlTier))]);
  return [
    '# Keyspaces',
    '<!-- Written by scripts/build-docs.ts from the declarations in src. Do not edit. -->',
    'Every family of keys Rednest writes. The part in braces decides the Cluster slot. `<prefix>` is',
    '`keyPrefix` of the [configuration](configuration.md). All other parts are escaped, so that no value can',
    "reach another one's keys.",
    '',
    table(['capability', 'name', 'keys', 'time to live', 'value', 'what for'], rows),
    'The keys of the queues themselves belong to BullMQ: `<prefix>:queue:{<queue>}:<queue>:*`. How long jobs',
    'stay is an option of the module.',
    '',
    '## Named times to live',
    'Wherever a time to live is asked for, one of these names can stand instead of a duration:',
    '',
    table(['name', 'time to live'], tiers),
  ].join('\n');
}

function timeToLive({ definition, ttlMs }: Keyspace): string {
  if (ttlMs !== undefined) return humanMs(ttlMs);
  return definition.ttl === 'none' ? 'none: kept until deleted' : 'differs per call';
}

function humanMs(ms: number): string {
  const units = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1_000, 's'],
  ] as const;
  const unit = units.find(([length]) => ms >= length && ms % length === 0);
  return unit ? `${ms / unit[0]} ${unit[1]}` : `${ms} ms`;
}

// --- Options -----------------------------------------------------------------------------------

/** Interfaces by name, and the text of type aliases that are a choice between literals. */
function readTypes(files: readonly string[]) {
  const interfaces = new Map<string, ts.InterfaceDeclaration>();
  const choices = new Map<string, string>();
  for (const file of files) {
    const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
    for (const node of source.statements) {
      if (ts.isInterfaceDeclaration(node)) interfaces.set(node.name.text, node);
      if (ts.isTypeAliasDeclaration(node) && isChoice(node.type))
        choices.set(node.name.text, node.type.getText());
    }
  }
  return { interfaces, choices };
}

function isChoice(type: ts.TypeNode): boolean {
  return ts.isUnionTypeNode(type) ? type.types.every(ts.isLiteralTypeNode) : ts.isLiteralTypeNode(type);
}

function withOptions(markdown: string, page: string): string {
  const block = /(<!-- options:start ([\w ]+?) -->)[\s\S]*?(<!-- options:end -->)/g;
  return markdown.replace(block, (_block, start: string, names: string, end: string) => {
    const rows = names.split(' ').flatMap((name) => optionRows(name, page));
    return `${start}\n\n${table(['option', 'type', 'default', 'meaning'], rows)}\n${end}`;
  });
}

function optionRows(name: string, page: string): string[][] {
  const declaration = interfaces.get(name);
  if (!declaration) throw new Error(`${relative(root, page)}: no interface is called "${name}"`);
  return declaration.members
    .filter(ts.isPropertySignature)
    .map((property) => [
      `\`${property.name.getText()}\``,
      `\`${typeOf(property)}\``,
      defaultOf(property),
      meaningOf(property),
    ]);
}

function typeOf({ type }: ts.PropertySignature): string {
  const text = type?.getText() ?? 'unknown';
  return (choices.get(text) ?? text).replace(/\s+/g, ' ');
}

function defaultOf(property: ts.PropertySignature): string {
  const tag = ts.getJSDocTags(property).find(({ tagName }) => tagName.text === 'default');
  if (!tag) return property.questionToken ? '' : 'required';
  const text = oneLine(ts.getTextOfJSDocComment(tag.comment));
  return /^(?:[\d_.]+|true|false)$/.test(text) ? `\`${text}\`` : withCode(text);
}

/** Marks literals and names of variables in a text as code. */
function withCode(text: string): string {
  return text.replace(/(?<![\w`])(?:'[\w.-]+'|[A-Z]+(?:_[A-Z]+)+|process\.env)(?![\w`])/g, '`$&`');
}

function meaningOf(property: ts.PropertySignature): string {
  const [comment] = ts.getJSDocCommentsAndTags(property).filter(ts.isJSDoc);
  return oneLine(ts.getTextOfJSDocComment(comment?.comment));
}

/** One line, `{@link X}` as code. */
function oneLine(text = ''): string {
  return text
    .replace(/\{@link\s+([^}\s]+)\s*\}/g, '`$1`')
    .replace(/\s+/g, ' ')
    .trim();
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`;
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('');
}

// --- Code --------------------------------------------------------------------------------------

function withIncludes(markdown: string, page: string): string {
  const block = /(<!-- include:([\w./-]+)(?:#([\w-]+))? -->)[\s\S]*?(<!-- include:end -->)/g;
  return markdown.replace(
    block,
    (_block, start: string, file: string, region: string | undefined, end: string) => {
      const path = join(root, file);
      if (!existsSync(path)) throw new Error(`${relative(root, page)}: ${file} does not exist`);
      const code = readFileSync(path, 'utf8');
      const body = region === undefined ? code : regionOf(code, region, file);
      return `${start}\n\n\`\`\`${file.split('.').at(-1)}\n${body.trim()}\n\`\`\`\n\n${end}`;
    },
  );
}

/** The lines between `// #region name` and `// #endregion`, without their common indentation. */
function regionOf(code: string, name: string, file: string): string {
  const lines = code.split('\n');
  const start = lines.findIndex((line) => line.trim() === `// #region ${name}`);
  const length = lines.slice(start + 1).findIndex((line) => line.trim() === '// #endregion');
  if (start < 0 || length < 0) throw new Error(`${file}: has no region "${name}"`);
  const body = lines.slice(start + 1, start + 1 + length);
  const indents = body.filter((line) => line.trim() !== '').map((line) => line.search(/\S/));
  return body.map((line) => line.slice(Math.min(...indents))).join('\n');
}
