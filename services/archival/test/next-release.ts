// The release after this one, as it would be built: a copy of the sources in which the event has a field more, released as
// schemas/README.md says under "Releasing a schema".
import { execFileSync } from 'node:child_process';
import { hash } from 'node:crypto';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { utf8 } from '@cairn/event';
import { crc64Of, parsingCanonicalForm } from '../../../packages/event/src/canonical-form.ts';

interface Schema {
  readonly fields: readonly { readonly name: string }[];
}
interface Registry {
  readonly schemas: readonly { readonly id: number; readonly version: number; readonly file: string }[];
}

/** What an event of the next release has and one of this does not. */
export const NEW_FIELD = { name: 'approved_by', type: 'string', default: '', doc: 'Who approved the call.' };

/** Folders that the archive path is made of. */
const COPIED = ['schemas', 'packages', 'services', 'deploy', 'tools/traffic', 'tools/verifier-go'];

/**
 * Makes the release in an empty directory.
 *
 * @returns the schemas it has released, this repository's and its own, with the files they are in.
 */
export function makeNextRelease(
  repository: string,
  into: string,
): { readonly id: number; readonly file: string }[] {
  for (const folder of [...COPIED, 'package.json'])
    cpSync(join(repository, folder), join(into, folder), {
      recursive: true,
      // Packages find each other by relative links, so those of the copy find the copy.
      verbatimSymlinks: true,
      filter: (from) => !/(^|\/)(\.local|\.turbo|dist)$/.test(relative(repository, from)),
    });
  symlinkSync(join(repository, 'node_modules'), join(into, 'node_modules'));

  const schemas = join(into, 'schemas');
  const { fields, ...record } = JSON.parse(readFileSync(join(schemas, 'audit-event.avsc'), 'utf8')) as Schema;
  const integrity = fields.findIndex(({ name }) => name === 'epoch');
  const next = { ...record, fields: fields.toSpliced(integrity, 0, NEW_FIELD) };
  const { schemas: released } = JSON.parse(readFileSync(join(schemas, 'registry.json'), 'utf8')) as Registry;
  const latest = released.at(-1)!;
  const version = latest.version + 1;
  const file = `history/audit-event.v${version}.avsc`;
  const form = utf8(parsingCanonicalForm(next));
  const entry = {
    ...latest,
    id: latest.id + 1,
    version,
    file,
    crc64: Buffer.from(crc64Of(form)).toString('hex'),
    sha256: hash('sha256', form),
  };
  for (const name of ['audit-event.avsc', file])
    writeFileSync(join(schemas, name), `${JSON.stringify(next, null, 2)}\n`);
  writeFileSync(join(schemas, 'registry.json'), JSON.stringify({ schemas: [...released, entry] }, null, 2));
  execFileSync(process.execPath, [join(into, 'packages', 'event', 'gen', 'generate.ts')], { stdio: 'pipe' });
  execFileSync('go', ['generate', './...'], { cwd: join(into, 'tools', 'verifier-go'), stdio: 'pipe' });
  return [...released, entry].map(({ id, file: name }) => ({ id, file: join(schemas, name) }));
}
