import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addHold, holdNotesOf, readHolds } from '@cairn/adapters';
import { hexOf } from '@cairn/event';
import { type HoldWords, holdName, personKeyName } from '@cairn/ledger';
import type { RecordDraft } from '@cairn/recorder';
import { stands, withHolds } from '@cairn/retention';
import { afterAll, describe, expect, test } from '@jest/globals';
import { NOW_MS, Rig } from '../test/archiver.ts';
import { signerOf } from '../test/deployment-keys.ts';
import { DEPLOYMENT, policy } from '../test/simulation.ts';
import { heldBy } from './held-by.ts';
import { readKeyHistory } from './known-keys.ts';
import { checkNoneLost, recordHolds } from './record-holds.ts';

const directory = mkdtempSync(join(tmpdir(), 'cairn-holds-'));
afterAll(() => rmSync(directory, { recursive: true }));
const UNTIL = new Date(NOW_MS + 86_400_000);

const [jane, sam] = ['jane', 'sam'].map((name) => signerOf(personKeyName(DEPLOYMENT, name))) as [
  ReturnType<typeof signerOf>,
  ReturnType<typeof signerOf>,
];

/** A bucket with a hold that jane placed, and what there is to do with it. */
async function held(file: string) {
  const rig = await Rig.with([]);
  rig.keys.state('person', 'jane', jane.key);
  rig.keys.state('person', 'sam', sam.key);
  await rig.keys.store(rig.bucket, UNTIL);
  const history = await readKeyHistory(rig.bucket, DEPLOYMENT, rig.keys.root.key);
  const notes = holdNotesOf(rig.bucket);
  const say = async (signer: typeof jane, words: Partial<HoldWords>): Promise<void> => {
    const none = { agent: null, from: null, org: null, session: null, to: null };
    const said: HoldWords = {
      ...none,
      act: 'release',
      at: 7,
      by: 'jane',
      hold: 'h-1',
      reason: 'why',
      ...words,
    };
    await addHold(notes, history, (await readHolds(notes, history)).sign(said, signer), UNTIL);
  };
  await say(jane, { act: 'place', org: 'acme' });
  const events: RecordDraft[] = [];
  const options = {
    store: rig.bucket,
    history,
    org: 'cairn',
    toldFile: join(directory, file),
    record: async (draft: RecordDraft) => void events.push(draft),
  };
  return { rig, history, say, events, options };
}

describe('a hold in the bucket', () => {
  test('is recorded once with who and why, as is each person’s release', async () => {
    const { say, events, options } = await held('once');
    await recordHolds(options);
    await recordHolds(options);
    await say(jane, {});
    await say(sam, { by: 'sam', reason: 'settled' });
    expect(await recordHolds(options)).toEqual({ statements: 3, recorded: 2, standing: 0 });
    expect(events.map(({ method, org_id, result_status }) => [method, org_id, result_status])).toEqual([
      ['hold/place', 'acme', 'success'],
      ['hold/release', 'acme', 'pending'],
      ['hold/release', 'acme', 'success'],
    ]);
    expect(JSON.parse(events[2]!.detail!)).toMatchObject({
      by: 'sam',
      reason: 'settled',
      hold: 'h-1',
      number: 2,
    });
  });

  test('is recorded again under the same id when the process ended before it had noted that', async () => {
    const { events, options } = await held('again');
    await recordHolds(options);
    await recordHolds({ ...options, toldFile: join(directory, 'lost') });
    expect(new Set(events.map(({ event_id: id }) => hexOf(id!))).size).toBe(1);
    expect(events).toHaveLength(2);
  });

  test('that could not be recorded is recorded by the next run', async () => {
    const { events, options } = await held('failing');
    const record = async (): Promise<void> => {
      throw new Error('no room');
    };
    await expect(recordHolds({ ...options, record })).rejects.toThrow('no room');
    expect(await recordHolds(options)).toMatchObject({ recorded: 1 });
    expect(events).toHaveLength(1);
  });

  test('stands for the retention policy until the second person has signed', async () => {
    const { rig, history, say } = await held('policy');
    const standing = async () =>
      withHolds(policy, (await heldBy(rig.bucket, history)).holds).holds.map((hold) => stands(hold, NOW_MS));
    expect(await standing()).toEqual([true]);
    await say(sam, { by: 'sam' });
    expect(await standing()).toEqual([true]);
    await say(jane, {});
    expect(await standing()).toEqual([false]);
  });

  test('stands when somebody puts a newer version of its statement or hides it', async () => {
    const { rig, history } = await held('replaced');
    rig.bucket.replace(holdName(0), Buffer.from('nothing'));
    expect((await heldBy(rig.bucket, history)).holds).toHaveLength(1);
  });

  test('that was recorded and is gone from the bucket stops every deletion', async () => {
    const { rig, options } = await held('gone');
    await recordHolds(options);
    for await (const { key, version } of rig.bucket.listVersions('hold/')) rig.bucket.lose(key, version);
    const { history, toldFile } = options;
    const lost = { code: 'hold.lost' };
    await expect(recordHolds(options)).rejects.toMatchObject(lost);
    await expect(checkNoneLost(toldFile, await heldBy(rig.bucket, history))).rejects.toMatchObject(lost);
  });

  test('stops every deletion where nobody says whose keys count', async () => {
    const { rig } = await held('unjudged');
    await expect(heldBy(rig.bucket, undefined)).rejects.toMatchObject({ code: 'hold.unjudged' });
    const { bucket } = await Rig.with([]);
    expect((await heldBy(bucket, undefined)).holds).toEqual([]);
  });
});
