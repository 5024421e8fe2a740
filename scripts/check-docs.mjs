// Counts the exported symbols, and the members of exported classes and interfaces, that reach the
// emitted declarations without a doc comment. Any of them fails the check.
import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import ts from 'typescript';
import { root } from './lib/run.mjs';

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const entries = Object.values(manifest.exports)
  .map((target) => target.types)
  .filter((file) => file !== undefined)
  .map((file) => join(root, file));

const program = ts.createProgram(entries, {
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  skipLibCheck: true,
});
const checker = program.getTypeChecker();
const missing = new Set();
let symbols = 0;

/** @param {ts.Symbol} symbol */
function isDocumented(symbol) {
  return symbol.getDocumentationComment(checker).length > 0 || symbol.getJsDocTags().length > 0;
}

/** @param {ts.Symbol} symbol @param {string} name */
function report(symbol, name) {
  symbols += 1;
  if (isDocumented(symbol)) return;
  const file = symbol.declarations?.[0]?.getSourceFile().fileName ?? '';
  missing.add(`${name} (${relative(root, file)})`);
}

for (const entry of entries) {
  const source = program.getSourceFile(entry);
  const moduleSymbol = source && checker.getSymbolAtLocation(source);
  if (!moduleSymbol) throw new Error(`${relative(root, entry)} is missing: run the build first`);
  for (const exported of checker.getExportsOfModule(moduleSymbol)) {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    report(symbol, exported.name);
    if (symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface)) checkMembers(symbol, exported.name);
  }
}

/** @param {ts.Symbol} owner @param {string} ownerName */
function checkMembers(owner, ownerName) {
  for (const member of owner.members?.values() ?? []) {
    const declaration = member.declarations?.[0];
    if (!declaration || member.name.startsWith('__')) continue;
    if (member.flags & ts.SymbolFlags.TypeParameter || member.name === '#private') continue;
    const flags = ts.getCombinedModifierFlags(declaration);
    if (flags & ts.ModifierFlags.Private) continue;
    if (ts.isParameter(declaration) || ts.isConstructorDeclaration(declaration)) continue;
    if (!documentedByName(member, owner)) report(member, `${ownerName}.${member.name}`);
    else symbols += 1;
  }
}

/** Nest's hooks and the fixed members of errors explain themselves. @param {ts.Symbol} member @param {ts.Symbol} owner */
function documentedByName(member, owner) {
  if (
    /^(onModuleInit|onModuleDestroy|onApplication\w+|beforeApplicationShutdown|canActivate)$/.test(
      member.name,
    )
  )
    return true;
  return owner.name.endsWith('Error') && (member.name === 'name' || member.name === 'code');
}

for (const name of [...missing].sort((a, b) => a.localeCompare(b)))
  process.stderr.write(`undocumented: ${name}\n`);
process.stdout.write(`documented: ${symbols - missing.size} of ${symbols} exported symbols and members\n`);
if (missing.size > 0) process.exitCode = 1;
