// Checks what no other tool looks at: text that must not be committed, subpaths without a folder and
// folders without a subpath, missing pages, links that lead nowhere. Names every finding.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { root } from './lib/run.mjs';

/** Pages that belong to no subpath of the package. */
const GENERAL_PAGES = ['configuration', 'troubleshooting'];
const NOT_OURS = new Set(['.git', 'node_modules', 'dist', 'coverage', '.tmp']);
const BINARY = /\.(?:png|jpe?g|gif|ico|woff2?|wasm|tgz)$/;
const TEST = /^test\/|\.spec\.ts$|^jest\.config/;
const RUNS_TESTS = /^test\/|^scripts\/|\.spec\.ts$|^jest\.config|^package\.json$|^\.ci\/|^\.github\//;

/**
 * Text that must not be committed. One letter of each word is in brackets, so that this file does not
 * match itself.
 * @type {{ what: string, pattern: RegExp, files: RegExp }[]}
 */
const FORBIDDEN = [
  {
    what: 'path of one machine',
    pattern: /(?<![\w.:/-])\/(?:w[o]rk|r[o]ot|h[o]me\/[\w.-]+)(?=[/\s'"`),;]|$)/m,
    files: /./,
  },
  { what: 'registry address in a lock file', pattern: /"resolve[d]": "http/, files: /package-lock\.json$/ },
  { what: 'unfinished mark', pattern: /\b(?:T[O]DO|F[I]XME|X{3})\b/, files: /^(?!package-lock)/ },
  { what: 'focused test', pattern: /\.on[l]y\(/, files: TEST },
  { what: 'forced exit of the test run', pattern: /force[E]xit/, files: RUNS_TESTS },
  { what: 'test run that passes without tests', pattern: /pass[W]ithNoTests/i, files: RUNS_TESTS },
];

/** @type {string[]} */
const findings = [];
const files = repositoryFiles();

for (const file of files) {
  if (BINARY.test(file)) continue;
  const text = readFileSync(join(root, file), 'utf8');
  findForbidden(file, text);
  if (file === 'README.md' || (file.startsWith('docs/') && file.endsWith('.md'))) findBrokenLinks(file, text);
}
findSubpathFaults();

for (const finding of findings) process.stderr.write(`${finding}\n`);
process.stdout.write(`repository: ${files.length} files, ${findings.length} findings\n`);
if (findings.length > 0) process.exitCode = 1;

/** Files that are committed or would be; without git, everything that is not generated. @returns {string[]} */
function repositoryFiles() {
  try {
    const options = ['--cached', '--others', '--exclude-standard', '-z'];
    const listed = execFileSync('git', ['ls-files', ...options], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return [...new Set(listed.split('\0'))].filter((file) => file !== '' && existsSync(join(root, file)));
  } catch {
    return walk(root);
  }
}

/** @param {string} folder @returns {string[]} */
function walk(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (NOT_OURS.has(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return walk(path);
    return entry.isFile() ? [relative(root, path).split(sep).join('/')] : [];
  });
}

/** @param {string} file @param {string} text */
function findForbidden(file, text) {
  for (const { what, pattern, files: applies } of FORBIDDEN) {
    if (!applies.test(file)) continue;
    const match = pattern.exec(text);
    if (match) findings.push(`${file}:${lineOf(text, match.index)}: ${what}: ${match[0]}`);
  }
}

/** @param {string} text @param {number} index */
function lineOf(text, index) {
  return text.slice(0, index).split('\n').length;
}

/** Every subpath has its folder and its page, every public folder its subpath. */
function findSubpathFaults() {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const subpaths = Object.keys(exports)
    .filter((key) => key !== '.' && key !== './package.json')
    .map((key) => key.slice(2));
  const rootEntry = readFileSync(join(root, 'src', 'index.ts'), 'utf8');
  for (const name of subpaths) {
    if (!hasIndex(name)) findings.push(`package.json: subpath "./${name}" has no src/${name}/index.ts`);
  }
  for (const { name } of readdirSync(join(root, 'src'), { withFileTypes: true })) {
    const isPublic = subpaths.includes(name) || rootEntry.includes(`'./${name}/index.js'`);
    if (name !== 'app' && hasIndex(name) && !isPublic) {
      findings.push(`src/${name}: has an index.ts but no subpath in package.json`);
    }
  }
  for (const page of [...subpaths, ...GENERAL_PAGES]) {
    if (!existsSync(join(root, 'docs', `${page}.md`))) findings.push(`docs/${page}.md: the page is missing`);
  }
}

/** @param {string} folder */
function hasIndex(folder) {
  return existsSync(join(root, 'src', folder, 'index.ts'));
}

/** @param {string} file @param {string} text */
function findBrokenLinks(file, text) {
  const prose = text.replace(/^```[\s\S]*?^```/gm, (block) => block.replace(/[^\n]/g, ''));
  const links = prose.matchAll(/\]\(([^)\s]+)[^)]*\)|^\[[^\]]+\]:\s+(\S+)/gm);
  for (const { index, 1: inline, 2: reference } of links) {
    const link = inline ?? reference ?? '';
    if (/^[a-z][a-z+.-]*:/i.test(link) || leadsSomewhere(file, link)) continue;
    findings.push(`${file}:${lineOf(prose, index)}: link leads nowhere: ${link}`);
  }
}

/** @param {string} file @param {string} link */
function leadsSomewhere(file, link) {
  const [path = '', anchor] = link.split('#');
  const target = path === '' ? join(root, file) : join(root, dirname(file), decodeURIComponent(path));
  if (!statSync(target, { throwIfNoEntry: false })) return false;
  if (!anchor || !target.endsWith('.md')) return true;
  return anchorsOf(readFileSync(target, 'utf8')).includes(anchor.toLowerCase());
}

/** Anchors GitHub gives to the headings of a page. @param {string} markdown */
function anchorsOf(markdown) {
  return [...markdown.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) =>
    heading
      .trim()
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-'),
  );
}
