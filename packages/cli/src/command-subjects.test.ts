import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ClickHouse } from '@cairn/adapters';
import { parseUuid } from '@cairn/event';
import { personKeyName } from '@cairn/ledger';
import { joinBlocks, keyEncryptionKeyOf, type SealedField, SubjectKeys, sealBlock } from '@cairn/privacy';
import type { RecordDraft } from '@cairn/recorder';
import { afterAll, describe, expect, test } from '@jest/globals';
import { seedFrom, signerOf } from '../../ledger/test/deployment.ts';
import { DEPLOYMENT, Folder, Keys } from './testing/archive-on-disk.ts';
import { cairn, type Said } from './testing/run-cairn.ts';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

const root = new Keys().root.key.vkey;
const person = (name: string, seed: number) => signerOf(personKeyName(DEPLOYMENT, name), seedFrom(seed));
const [jane, sam] = [person('jane.doe', 10), person('sam.lee', 20)];
const pemOf = ({ key, privateKey }: typeof jane): string => folder.writeKey(`${key.keyId}.pem`, privateKey);
const [janePem, samPem] = [pemOf(jane), pemOf(sam)];
const strangerPem = pemOf(person('jane.doe', 99));
const secret = new Uint8Array(32).fill(8);
const kekFile = folder.write('kek', `${Buffer.from(secret).toString('base64')}\n`);
chmodSync(kekFile, 0o600);
const CANARY = 'Marta Lindqvist\u001b[31m';
const EVENT = '018f0000-0000-7000-8000-000000000001';
const OTHER_EVENT = '018f0000-0000-7000-8000-000000000002';
const SUBJECT = 't1_AAAAAAAAAAAAAAAAAAAAAA';
const OTHER = 't1_BBBBBBBBBBBBBBBBBBBBBB';

/** An archive that states the persons, a store of keys, a table with one event, and a trail that remembers what it was told. */
class World {
  readonly archive: string;
  readonly store: string;
  readonly told: RecordDraft[] = [];
  /** Whether the trail takes anything. */
  isDeaf = false;
  rows: Record<string, string>[] = [];

  constructor(name: string) {
    const keys = new Keys();
    for (const { key } of [jane, sam]) keys.add('person', key.name.split('/person/')[1]!, key);
    for (const [number, note] of keys.notes.entries())
      folder.write(`${name}/archive/key/${String(number).padStart(20, '0')}.note`, note);
    this.archive = folder.file(`${name}/archive`);
    this.store = folder.file(`${name}/subjects`);
  }

  keys(): SubjectKeys {
    return new SubjectKeys({
      directory: this.store,
      keyEncryptionKeys: [keyEncryptionKeyOf(secret)],
      onMade: async () => {},
    });
  }

  /** Seals for a subject in an event. */
  async seal(
    subject = SUBJECT,
    eventId = EVENT,
    field: SealedField = 'parameters_sealed',
  ): Promise<Uint8Array> {
    const { key, dataKey } = (await this.keys().keyFor('acme', subject))!;
    const place = { orgId: 'acme', subject, field, eventId: parseUuid(eventId) };
    return joinBlocks([sealBlock(dataKey, key.keyId, place, [{ name: 'customer.name', value: CANARY }])]);
  }

  async run(...args: string[]): Promise<Said> {
    const trail = {
      query: async () => this.rows,
      [Symbol.asyncDispose]: async () => {},
    } as unknown as ClickHouse;
    const openActs = async (deployment: string, orgId: string) => {
      expect([deployment, orgId]).toEqual([DEPLOYMENT, 'acme']);
      return {
        record: async (draft: RecordDraft) => {
          if (this.isDeaf) throw new Error('the spool is full');
          this.told.push(draft);
        },
        [Symbol.asyncDispose]: async () => {},
      };
    };
    const { code, stdout, stderr } = await cairn(args, { parts: { openTrail: () => trail, openActs } });
    return { code, stdout, stderr };
  }

  as(by: string, key: string): string[] {
    return ['--archive', this.archive, '--by', by, '--key', key, '--reason', 'Request 4711', '--root', root];
  }

  erase(subjects: readonly string[], by = 'jane.doe', key = janePem): Promise<Said> {
    return this.run(
      'subjects',
      'erase',
      ...subjects,
      '--org',
      'acme',
      '--store',
      this.store,
      ...this.as(by, key),
    );
  }

  unseal(by = 'jane.doe', key = janePem): Promise<Said> {
    return this.run('unseal', EVENT, '--store', this.store, '--kek', kekFile, ...this.as(by, key));
  }

  row(sealed: Uint8Array, field: SealedField = 'parameters_sealed'): void {
    const none = { parameters_sealed: '', response_sealed: '' };
    this.rows = [{ org_id: 'acme', ...none, [field]: Buffer.from(sealed).toString('hex') }];
  }

  files(): string[] {
    return readdirSync(join(this.store, 'acme')).sort();
  }

  hold(...args: string[]): Promise<Said> {
    return this.run('holds', ...args, '--reason', 'A letter', '--root', root);
  }
}

describe('an erasure on the command line', () => {
  test('destroys the key, leaves a decision that an auditor checks, and what was sealed opens no more', async () => {
    const world = new World('erase');
    world.row(await world.seal());
    expect((await world.unseal()).stdout).toMatch(
      /opened\n {2}customer\.name = Marta Lindqvist\\u\{1b\}\[31m/,
    );
    await world.seal(OTHER);
    const said = await world.erase([SUBJECT]);
    expect(said).toMatchObject({ code: 0, stdout: `${SUBJECT}  erased\n` });
    expect(world.files()).toEqual([
      expect.stringMatching(/^t1_A+\.[0-9a-f]{32}\.erased\.note$/),
      `${OTHER}.key`,
    ]);

    const event = world.told.at(-1)!;
    const detail = JSON.parse(event.detail!) as { note: string; commit: string };
    expect(event).toMatchObject({ kind: 'retention', method: 'subject/erase', result_status: 'success' });
    const note = folder.write('from-the-trail.note', detail.note);
    const checked = await world.run('subjects', 'check', note, '--archive', world.archive, '--root', root);
    expect(checked).toMatchObject({ code: 0, stdout: expect.stringContaining('erased by jane.doe') });
    writeFileSync(note, detail.note.replace('Request 4711', 'Request 4712'));
    expect(
      (await world.run('subjects', 'check', note, '--archive', world.archive, '--root', root)).code,
    ).toBe(1);

    const after = await world.unseal();
    expect(after).toMatchObject({ code: 1, stdout: expect.stringContaining('erased [subject.erased]') });
    expect(after.stdout).not.toContain('Marta');
    expect(await world.erase([SUBJECT])).toMatchObject({
      code: 0,
      stdout: `${SUBJECT}  was erased before\n`,
    });
    const shown = await world.run('subjects', 'show', SUBJECT, '--org', 'acme', '--store', world.store);
    expect(shown.stdout).toContain(`erased, commitment ${detail.commit}`);
  });

  test('of what a legal hold covers is refused, and the refusal recorded; the released hold lets it go, one of another organisation never stood in its way', async () => {
    const world = new World('held');
    await world.seal();
    await world.hold(
      'place',
      world.archive,
      'other',
      '--org',
      'globex',
      '--by',
      'jane.doe',
      '--key',
      janePem,
    );
    await world.hold(
      'place',
      world.archive,
      'past',
      '--org',
      'acme',
      '--to',
      '2020-01-01',
      '--by',
      'jane.doe',
      '--key',
      janePem,
    );
    await world.hold(
      'place',
      world.archive,
      'h-1',
      '--org',
      'acme',
      '--session',
      's-1',
      '--by',
      'jane.doe',
      '--key',
      janePem,
    );
    const held = await world.erase([SUBJECT]);
    expect(held).toMatchObject({
      code: 1,
      stdout: `${SUBJECT}  not erased, for legal holds cover it: h-1\n`,
    });
    expect(world.told.at(-1)).toMatchObject({ result_status: 'denied', error_code: 'subject.held' });
    expect(world.files()).toEqual([`${SUBJECT}.key`]);
    await world.hold('release', world.archive, 'h-1', '--by', 'jane.doe', '--key', janePem);
    expect((await world.erase([SUBJECT])).code).toBe(1);
    await world.hold('release', world.archive, 'h-1', '--by', 'sam.lee', '--key', samPem);
    expect(await world.erase([SUBJECT], 'sam.lee', samPem)).toMatchObject({ code: 0 });
    expect(JSON.parse(JSON.parse(world.told.at(-1)!.detail!).note.split('\n')[0])).toMatchObject({
      by: 'sam.lee',
      holds: 3,
      position: 5,
    });
  });

  test('is not done by whom the root has not stated, nor while a hold cannot be judged', async () => {
    const world = new World('stranger');
    await world.seal();
    expect(await world.erase([SUBJECT], 'jane.doe', strangerPem)).toMatchObject({ code: 1, stdout: '' });
    expect(world.told.at(-1)).toMatchObject({ result_status: 'denied', error_code: 'erase.not-a-person' });
    await world.hold('place', world.archive, 'h-1', '--org', 'globex', '--by', 'jane.doe', '--key', janePem);
    const [name] = readdirSync(join(world.archive, 'hold'));
    writeFileSync(join(world.archive, 'hold', name!), 'altered');
    expect(await world.erase([SUBJECT])).toMatchObject({ code: 1, stdout: '' });
    expect(world.files()).toEqual([`${SUBJECT}.key`]);
  });

  test('that could not be recorded is decided and said to be undone; the next run ends it under the same event', async () => {
    const world = new World('deaf');
    world.row(await world.seal());
    world.isDeaf = true;
    expect(await world.erase([SUBJECT])).toMatchObject({ code: 1, stdout: '' });
    world.isDeaf = false;
    const list = await world.run('subjects', 'list', '--org', 'acme', '--store', world.store);
    expect(list).toMatchObject({ code: 1, stdout: expect.stringMatching(/erasing/) });
    expect((await world.unseal()).stdout).toContain('erased [subject.erased]');
    expect(existsSync(join(world.store, 'acme', `${SUBJECT}.key`))).toBe(true);
    const ended = await world.erase([SUBJECT]);
    expect(ended.stdout).toContain('the decision was of an earlier run');
    expect(world.files()).toHaveLength(1);
    const erasures = world.told.filter(({ method }) => method === 'subject/erase');
    expect(erasures).toHaveLength(1);
    expect(readFileSync(join(world.store, 'acme', world.files()[0]!), 'utf8')).toBe(
      JSON.parse(erasures[0]!.detail!).note,
    );
  });

  test('of a subject that nothing was sealed for says so, and is recorded', async () => {
    const world = new World('unknown');
    expect(await world.erase([OTHER])).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('not known'),
    });
    expect(world.told).toMatchObject([{ result_status: 'failure', error_code: 'subject.unknown' }]);
    expect(await world.erase(['alice@example.com'])).toMatchObject({ code: 64 });
    expect(world.told).toHaveLength(1);
  });
});

describe('unsealing on the command line', () => {
  test('shows nothing when it cannot be recorded, and the record holds who and why and no value', async () => {
    const world = new World('unseal');
    world.row(await world.seal());
    world.isDeaf = true;
    expect(await world.unseal()).toMatchObject({ code: 1, stdout: '' });
    world.isDeaf = false;
    expect(await world.unseal()).toMatchObject({ code: 0 });
    expect(world.told).toMatchObject([
      {
        kind: 'audit_access',
        method: 'event/unseal',
        result_status: 'success',
        parent_event_id: parseUuid(EVENT),
      },
    ]);
    expect(world.told[0]!.detail).toContain('jane.doe');
    expect(world.told[0]!.detail).not.toContain('Marta');
  });

  test('is refused to whom the root has not stated, and that is recorded', async () => {
    const world = new World('unseal stranger');
    world.row(await world.seal());
    expect(await world.unseal('jane.doe', strangerPem)).toMatchObject({ code: 1, stdout: '' });
    expect(world.told).toMatchObject([{ result_status: 'denied', error_code: 'unseal.not-a-person' }]);
  });

  test('of a value that was moved from another event or field, or altered, is refused and recorded', async () => {
    const world = new World('moved');
    const altered = await world.seal();
    altered[altered.length - 1]! ^= 1;
    const moved = [
      world.row.bind(world, await world.seal(SUBJECT, OTHER_EVENT)),
      world.row.bind(world, await world.seal(SUBJECT, EVENT, 'response_sealed')),
      world.row.bind(world, altered),
      world.row.bind(world, Uint8Array.of(9, 9, 9)),
    ];
    for (const put of moved) {
      put();
      const said = await world.unseal();
      expect(said).toMatchObject({ code: 1, stdout: expect.stringContaining('refused [sealed.refused]') });
      expect(said.stdout).not.toContain('Marta');
      expect(world.told.at(-1)).toMatchObject({ result_status: 'failure', error_code: 'sealed.refused' });
    }
  });
});

test('a key-encryption key is made once, and keys that are wrapped anew open without the old one', async () => {
  const world = new World('rewrap');
  world.row(await world.seal());
  const file = folder.file('kek-new');
  expect(await world.run('subjects', 'create-key', file)).toMatchObject({ code: 0 });
  expect(await world.run('subjects', 'create-key', file)).toMatchObject({ code: 1 });
  const store = ['--store', world.store];
  const said = await world.run('subjects', 'rewrap', '--org', 'acme', ...store, '--kek', file, kekFile);
  expect(said).toMatchObject({ code: 0, stdout: '1 keys were wrapped anew.\n' });
  const as = world.as('jane.doe', janePem);
  expect((await world.run('unseal', EVENT, ...store, '--kek', file, ...as)).code).toBe(0);
  expect((await world.unseal()).stdout).toContain('refused [keys.unwrappable]');
});
