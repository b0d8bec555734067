// npm run bench -- <subject> [--quick] [--name value …]
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeMachine } from './machine.ts';
import { holds, type Subject } from './measured.ts';
import { print } from './print.ts';

const SUBJECTS = join(import.meta.dirname, 'subjects');
const RESULTS = join(import.meta.dirname, '..', 'results');

const [name = '', ...rest] = process.argv.slice(2);
const file = join(SUBJECTS, `${name}.ts`);
if (!/^[a-z-]+$/.test(name) || !existsSync(file)) {
  const names = readdirSync(SUBJECTS).map((entry) => entry.replace(/\.ts$/, ''));
  process.stderr.write(`usage: npm run bench -- <subject> [--quick]\nsubjects: ${names.join(', ')}\n`);
  process.exit(2);
}

const quick = rest.includes('--quick');
const flags = Object.fromEntries(
  rest.flatMap((word, index) => (word.startsWith('--') ? [[word.slice(2), rest[index + 1] ?? '']] : [])),
);
const machine = describeMachine();
const { default: subject } = (await import(file)) as { default: Subject };
const measured = await subject({
  quick,
  flags,
  say: (text) => process.stderr.write(`${text}\n`),
});
process.stdout.write(`${print(measured)}\n`);
if (!quick) {
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(
    join(RESULTS, `${name}.json`),
    `${JSON.stringify({ subject: name, machine, ...measured }, null, 2)}\n`,
  );
}
process.exit(measured.claims.every(holds) ? 0 : 1);
