import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import ts from 'typescript';
import { root } from './installation.js';

const RECORD = join(root, 'test', 'consumer', 'public-names.json');

type Names = Record<string, readonly string[]>;

/** What each subpath exports, read from its index: values by name, types as `type Name`. */
function publicNames(): Names {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: object };
  const subpaths = Object.keys(exports).filter((name) => name !== './package.json');
  return Object.fromEntries(subpaths.map((name) => [name, namesOf(join(root, 'src', name, 'index.ts'))]));
}

function namesOf(file: string): string[] {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest);
  return source.statements.flatMap((statement) => exportedNames(statement, file)).sort();
}

function exportedNames(statement: ts.Statement, file: string): string[] {
  if (
    !ts.isExportDeclaration(statement) ||
    !statement.exportClause ||
    ts.isNamespaceExport(statement.exportClause)
  ) {
    throw new Error(`${file}: list the exports by name, so that they can be compared`);
  }
  return statement.exportClause.elements.map(({ name, isTypeOnly }) =>
    isTypeOnly || statement.isTypeOnly ? `type ${name.text}` : name.text,
  );
}

describe('public names', () => {
  // A difference here is a change of the public API: run with REDNEST_UPDATE=1 to record it, and say in
  // the change log what it means for users.
  it('are those recorded in public-names.json', () => {
    const names = publicNames();

    if (process.env['REDNEST_UPDATE']) writeFileSync(RECORD, `${JSON.stringify(names, null, 2)}\n`);

    expect(existsSync(RECORD)).toBe(true);
    expect(names).toEqual(JSON.parse(readFileSync(RECORD, 'utf8')));
  });

  it.each(Object.entries(publicNames()))('of %s exist at run time', async (subpath, names) => {
    const values = names.filter((name) => !name.startsWith('type '));

    const loaded = (await import(`rednest${subpath.slice(1)}`)) as object;

    expect(Object.keys(loaded).sort()).toEqual(values);
  });
});
