// Imports the subpaths named in the arguments; prints `OK <subpath>` or `<code> <subpath>: <message>`.
for (const name of process.argv.slice(2)) {
  try {
    await import(`rednest${name.slice(1)}`);
    process.stdout.write(`OK ${name}\n`);
  } catch (error) {
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (error);
    process.stdout.write(`${code} ${name}: ${message.split('\n')[0]}\n`);
  }
}
