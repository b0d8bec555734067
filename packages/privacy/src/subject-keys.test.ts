import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseUuid } from '@cairn/event';
import { afterAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import vectors from '../../../schemas/vectors/sealing.json' with { type: 'json' };
import { commitOf, keyEncryptionKeyOf, unwrapKey } from './key-encryption-key.ts';
import { type KeyFiles, realKeyFiles } from './key-files.ts';
import { joinBlocks, openBlock, type SealedField, sealBlock, splitBlocks } from './sealed-value.ts';
import { type SubjectKey, SubjectKeys } from './subject-keys.ts';

const directories: string[] = [];
const fresh = (): string => {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-subjects-'));
  directories.push(directory);
  return directory;
};
afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

const KEK = keyEncryptionKeyOf(new Uint8Array(32).fill(3));
const OTHER_KEK = keyEncryptionKeyOf(new Uint8Array(32).fill(4));
const SUBJECT = 't1_AAAAAAAAAAAAAAAAAAAAAA';
const OTHER = 't1_BBBBBBBBBBBBBBBBBBBBBB';
const NOTE = Buffer.from('the decision');

interface Opened {
  readonly keys: SubjectKeys;
  readonly told: SubjectKey[];
}
function openKeys(directory: string, files: KeyFiles = realKeyFiles, keks = [KEK]): Opened {
  const told: SubjectKey[] = [];
  const keys = new SubjectKeys(
    { directory, keyEncryptionKeys: keks, onMade: async (key) => void told.push(key) },
    files,
  );
  return { keys, told };
}

const rawFiles = (directory: string): string[] =>
  readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => /\.\w/.test(name));

type Call = keyof KeyFiles;
const WRITES: readonly Call[] = [
  'makeDirectory',
  'create',
  'link',
  'rename',
  'overwrite',
  'remove',
  'syncDirectory',
];

/** Fails the write of this number, before its effect or after it, and every call behind it: as a process that ended there. */
function endingAt(number: number, when: 'before' | 'after'): KeyFiles & { readonly reached: () => boolean } {
  let writes = 0;
  let isOver = false;
  const wrapped = Object.fromEntries(
    (Object.keys(realKeyFiles) as Call[]).map((name) => [
      name,
      async (...args: never[]) => {
        if (isOver) throw new Error('the process has ended');
        const isHit = WRITES.includes(name) && ++writes === number;
        if (isHit && when === 'before') {
          isOver = true;
          throw new Error('drawn');
        }
        const answer = await (realKeyFiles[name] as (...args: never[]) => Promise<unknown>)(...args);
        if (!isHit) return answer;
        isOver = true;
        throw new Error('drawn');
      },
    ]),
  ) as unknown as KeyFiles;
  return { ...wrapped, reached: () => isOver };
}

/** Ends a process at every write of some work, before and after its effect. */
async function atEveryWrite(
  work: (files: KeyFiles, directory: string) => Promise<unknown>,
  prepare: (directory: string) => Promise<void>,
  after: (directory: string) => Promise<void>,
): Promise<number> {
  for (let number = 1; ; number += 1) {
    for (const when of ['before', 'after'] as const) {
      const directory = fresh();
      await prepare(directory);
      const files = endingAt(number, when);
      await work(files, directory).catch(() => {});
      if (!files.reached()) return number - 1;
      await after(directory);
    }
  }
}

describe('the key of a subject', () => {
  test('is made once, however many stores of one directory are asked for it at once, and no other is told of', async () => {
    const directory = fresh();
    const stores = Array.from({ length: 8 }, () => openKeys(directory));
    const given = await Promise.all(
      stores.flatMap(({ keys, told }) =>
        Array.from({ length: 8 }, async () => {
          const opened = (await keys.keyFor('acme', SUBJECT))!;
          return { id: opened.key.keyId, dataKey: opened.dataKey.toString('hex'), told: told.length };
        }),
      ),
    );
    expect(new Set(given.map(({ id, dataKey }) => `${id} ${dataKey}`)).size).toBe(1);
    const told = stores.flatMap((store) => store.told.map(({ keyId }) => keyId));
    expect(new Set(told)).toEqual(new Set([given[0]!.id]));
    expect(rawFiles(directory)).toEqual([join('acme', `${SUBJECT}.key`)]);
  });

  test('is another one for each subject and organisation', async () => {
    const { keys } = openKeys(fresh());
    const places = [
      ['acme', SUBJECT],
      ['acme', OTHER],
      ['globex', SUBJECT],
    ] as const;
    const given = await Promise.all(places.map(([org, subject]) => keys.keyFor(org, subject)));
    expect(new Set(given.map((opened) => opened!.dataKey.toString('hex'))).size).toBe(3);
  });

  test('is one key after a crash at any write of its making, and no key is given that was not told', async () => {
    let crashed: Opened;
    const tried = await atEveryWrite(
      (files, directory) => {
        crashed = openKeys(directory, files);
        return crashed.keys.keyFor('acme', SUBJECT);
      },
      async () => {},
      async (directory) => {
        const next = openKeys(directory);
        const opened = (await next.keys.keyFor('acme', SUBJECT))!;
        expect([...crashed.told, ...next.told].map(({ keyId }) => keyId)).toContain(opened.key.keyId);
        const again = (await openKeys(directory).keys.keyFor('acme', SUBJECT))!;
        expect(again.dataKey).toEqual(opened.dataKey);
        expect((await next.keys.states('acme')).map(({ state }) => state)).toEqual(['living']);
      },
    );
    expect(tried).toBeGreaterThanOrEqual(9);
  });

  test('is not given when the trail could not be told of it, and is told of by whoever comes next', async () => {
    const directory = fresh();
    const deaf = new SubjectKeys({
      directory,
      keyEncryptionKeys: [KEK],
      onMade: () => Promise.reject(new Error('the spool is full')),
    });
    await expect(deaf.keyFor('acme', SUBJECT)).rejects.toThrow('the spool is full');
    expect(await deaf.states('acme')).toEqual([]);
    const { keys, told } = openKeys(directory);
    const opened = await keys.keyFor('acme', SUBJECT);
    expect(told.map(({ keyId }) => keyId)).toEqual([opened!.key.keyId]);
  });

  test('does not open under another key-encryption key, with an altered file, or put in the place of another subject', async () => {
    const directory = fresh();
    const { keys } = openKeys(directory);
    await keys.keyFor('acme', SUBJECT);
    await keys.keyFor('acme', OTHER);
    await expect(
      openKeys(directory, realKeyFiles, [OTHER_KEK]).keys.keyFor('acme', SUBJECT),
    ).rejects.toMatchObject({
      code: 'keys.unwrappable',
    });
    const [path, other] = [SUBJECT, OTHER].map((subject) => join(directory, 'acme', `${subject}.key`)) as [
      string,
      string,
    ];
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, readFileSync(other));
    await expect(keys.keyFor('acme', SUBJECT)).rejects.toMatchObject({ code: 'keys.altered' });
    // Also with the subject's name written over the other's.
    writeFileSync(path, readFileSync(other, 'utf8').replaceAll(OTHER, SUBJECT));
    await expect(keys.keyFor('acme', SUBJECT)).rejects.toMatchObject({ code: 'keys.altered' });
    writeFileSync(
      path,
      text.replace(/"commit":"./, (found) => `${found.slice(0, -1)}${found.endsWith('0') ? 1 : 0}`),
    );
    await expect(keys.keyFor('acme', SUBJECT)).rejects.toMatchObject({ code: 'keys.altered' });
    writeFileSync(path, text);
    expect(await keys.keyFor('acme', SUBJECT)).toBeDefined();
  });

  test.each(['..', '../acme', 'a/b', ''])('is kept for no organisation that is called %j', async (org) => {
    await expect(openKeys(fresh()).keys.keyFor(org, SUBJECT)).rejects.toMatchObject({
      code: 'keys.subject-invalid',
    });
  });

  test.each(['../x', 'alice@example.com', 't1_short'])(
    'is made for no subject that is called %j',
    async (subject) => {
      await expect(openKeys(fresh()).keys.keyFor('acme', subject)).rejects.toMatchObject({
        code: 'keys.subject-invalid',
      });
    },
  );
});

describe('an erasure', () => {
  test('leaves the decision and nothing of the key; the next use makes another key', async () => {
    const directory = fresh();
    const { keys } = openKeys(directory);
    const { key, dataKey } = (await keys.keyFor('acme', SUBJECT))!;
    const told: string[] = [];
    await keys.erase(key, NOTE, async (note) => void told.push(Buffer.from(note).toString()));
    expect(told).toEqual([NOTE.toString()]);
    expect(rawFiles(directory)).toEqual([join('acme', `${SUBJECT}.${key.keyId}.erased.note`)]);
    expect(await keys.openKey('acme', key.keyId)).toEqual({ state: 'erased', subject: SUBJECT, note: NOTE });
    const next = (await keys.keyFor('acme', SUBJECT))!;
    expect(next.key.keyId).not.toBe(key.keyId);
    expect(next.dataKey).not.toEqual(dataKey);
    expect((await keys.states('acme')).map(({ state }) => state).sort()).toEqual(['erased', 'living']);
  });

  test('after a crash at any write opens nothing once it is decided, and is ended by a repeat; what was not decided still opens', async () => {
    let id = '';
    const tried = await atEveryWrite(
      async (files, directory) => {
        const { keys } = openKeys(directory, files);
        const [found] = await keys.states('acme');
        await keys.erase({ orgId: 'acme', subject: SUBJECT, keyId: found!.keyId }, NOTE, async () => {});
      },
      async (directory) => {
        // With what an earlier crash left of the making: second names of the same file.
        await openKeys(directory, endingAt(10, 'before'))
          .keys.keyFor('acme', SUBJECT)
          .catch(() => {});
        id = (await openKeys(directory).keys.keyFor('acme', SUBJECT))!.key.keyId;
      },
      async (directory) => {
        const { keys } = openKeys(directory);
        const place = { orgId: 'acme', subject: SUBJECT, keyId: id };
        const isDecided = (await keys.decisionOn('acme', SUBJECT, id)) !== undefined;
        expect((await keys.openKey('acme', id)).state).toBe(isDecided ? 'erased' : 'living');
        if (isDecided)
          expect((await keys.keyFor('acme', SUBJECT).catch(() => undefined))?.key.keyId).not.toBe(id);
        let told = 0;
        await keys.erase(place, NOTE, async () => void (told += 1));
        expect(told).toBe(1);
        expect(
          (await keys.states('acme')).filter(({ keyId }) => keyId === id).map(({ state }) => state),
        ).toEqual(['erased']);
        for (const name of rawFiles(directory))
          expect([name, readFileSync(join(directory, name), 'utf8').includes(id)]).toEqual([name, false]);
        expect((await keys.keyFor('acme', SUBJECT))!.key.keyId).not.toBe(id);
      },
    );
    expect(tried).toBeGreaterThanOrEqual(8);
  });

  test('that the trail cannot be told of is not done, but decided: nothing opens, and a repeat keeps the first decision', async () => {
    const { keys } = openKeys(fresh());
    const { key } = (await keys.keyFor('acme', SUBJECT))!;
    await expect(keys.erase(key, NOTE, () => Promise.reject(new Error('full')))).rejects.toThrow('full');
    expect(await keys.keyFor('acme', SUBJECT)).toBeUndefined();
    expect((await keys.states('acme')).map(({ state }) => state)).toEqual(['erasing']);
    let standing = '';
    await keys.erase(
      key,
      Buffer.from('another'),
      async (note) => void (standing = Buffer.from(note).toString()),
    );
    expect(standing).toBe(NOTE.toString());
  });
});

describe('wrapping anew', () => {
  test('after a crash at any write the key is the same and whole; afterwards the old key-encryption key is not needed', async () => {
    let dataKey: Buffer;
    const tried = await atEveryWrite(
      (files, directory) => openKeys(directory, files, [OTHER_KEK, KEK]).keys.rewrap('acme', SUBJECT),
      async (directory) => {
        dataKey = (await openKeys(directory).keys.keyFor('acme', SUBJECT))!.dataKey;
      },
      async (directory) => {
        const both = openKeys(directory, realKeyFiles, [OTHER_KEK, KEK]).keys;
        expect((await both.keyFor('acme', SUBJECT))!.dataKey).toEqual(dataKey);
        await both.rewrap('acme', SUBJECT);
        const { keys } = openKeys(directory, realKeyFiles, [OTHER_KEK]);
        const opened = (await keys.keyFor('acme', SUBJECT))!;
        expect(opened.dataKey).toEqual(dataKey);
        await keys.erase(opened.key, NOTE, async () => {});
        for (const name of rawFiles(directory))
          expect(readFileSync(join(directory, name), 'utf8')).not.toContain(opened.key.keyId);
      },
    );
    expect(tried).toBeGreaterThanOrEqual(6);
  });
});

test('what pyca/cryptography wrapped and sealed is opened here, and means the same', () => {
  const { org: orgId, subject, key_id: keyId, data_key: key, sealed, ...vector } = vectors;
  const kek = keyEncryptionKeyOf(Buffer.from(vector.key_encryption_key, 'hex'));
  expect(kek.id).toBe(vector.key_encryption_key_id);
  const dataKey = unwrapKey(kek, Buffer.from(vector.wrapped, 'hex'), { orgId, subject, keyId });
  expect([dataKey.toString('hex'), commitOf(dataKey)]).toEqual([key, vector.commit]);
  for (const { field, values, bytes } of sealed) {
    const place = { orgId, subject, field: field as SealedField, eventId: parseUuid(vector.event_id) };
    expect(splitBlocks(Buffer.from(bytes, 'hex')).map((block) => openBlock(dataKey, block, place))).toEqual([
      values,
    ]);
  }
});

describe('a sealed value', () => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  const place = fc.record({
    orgId: fc.stringMatching(/^[a-z]{1,8}$/),
    subject: fc.stringMatching(/^t1_[A-Za-z]{22}$/),
    field: fc.constantFrom<SealedField>('parameters_sealed', 'response_sealed'),
    eventId: bytes(16),
  });
  const keyId = bytes(16).map((id) => Buffer.from(id).toString('hex'));
  const values = fc.array(
    fc.record({ name: fc.string(), value: fc.string({ unit: 'binary' }).map((text) => text.toWellFormed()) }),
  );

  test('opens as what was sealed, under its key and in its place, and nowhere else', () => {
    fc.assert(
      fc.property(
        place,
        place,
        keyId,
        bytes(32),
        bytes(32),
        values,
        (here, there, id, key, otherKey, sealed) => {
          const block = sealBlock(key, id, here, sealed);
          const [read] = splitBlocks(joinBlocks([block]));
          expect(openBlock(key, read!, here)).toEqual(sealed);
          const otherId = id.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
          expect(() => openBlock(key, { ...block, keyId: otherId }, here)).toThrow(/altered/);
          for (const part of ['orgId', 'subject', 'field', 'eventId'] as const) {
            if (Buffer.from(here[part] as string).equals(Buffer.from(there[part] as string))) continue;
            expect(() => openBlock(key, block, { ...here, [part]: there[part] })).toThrow(/another place/);
          }
          if (!Buffer.from(key).equals(Buffer.from(otherKey)))
            expect(() => openBlock(otherKey, block, here)).toThrow();
        },
      ),
      { numRuns: 200 },
    );
  });

  test('that was altered in any bit is refused', () => {
    const key = new Uint8Array(32).fill(9);
    const here = {
      orgId: 'acme',
      subject: SUBJECT,
      field: 'parameters_sealed',
      eventId: new Uint8Array(16),
    } as const;
    const id = '0123456789abcdef0123456789abcdef';
    const sealed = joinBlocks([sealBlock(key, id, here, [{ name: 'a', value: 'x'.repeat(20) }])]);
    for (let bit = 0; bit < sealed.length * 8; bit += 1) {
      const altered = sealed.slice();
      altered[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => splitBlocks(altered).map((block) => openBlock(key, block, here))).toThrow();
    }
  });

  test('is never read out of bytes that are none', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        try {
          const blocks = splitBlocks(noise);
          expect(Buffer.from(joinBlocks(blocks))).toEqual(Buffer.from(noise));
        } catch (error) {
          expect(error).toMatchObject({ code: 'sealed.refused' });
        }
      }),
    );
    expect(() => splitBlocks(new Uint8Array())).toThrow(/version/);
  });
});
