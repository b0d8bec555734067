/**
 * Which keys may sign what, from which position to which: statements by the root key, numbered and chained
 * (schemas/ledger.md, "Key history"). Positions and not times, so that a rotation never breaks what is older.
 */
import { Failure } from '@cairn/failure';
import { z } from 'zod';
import { hexOfHash, sha256Hex, ZERO_HASH } from './hash-text.ts';
import { type NoteKey, parseVkey } from './note-key.ts';
import { anchorOrigin, archiveKeyName, gatewayKeyName, isPersonName, personKeyName } from './origin.ts';
import type { NoteSigner } from './signed-note.ts';
import { countForm, openStatement, sha256Form, signStatement, textForm } from './statement.ts';

export const keyStatementForm = z.strictObject({
  from: countForm,
  kind: z.literal('cairn/key'),
  number: countForm,
  previous: sha256Form,
  reason: textForm,
  role: z.enum(['gateway', 'log', 'archive', 'anchor', 'witness', 'person']),
  subject: z.string(),
  until: countForm.nullable(),
  v: z.literal(1),
  vkey: z.string(),
});
export type KeyStatement = z.infer<typeof keyStatementForm>;
export type KeyRole = KeyStatement['role'];

export const signKeyStatement = (statement: KeyStatement, signer: NoteSigner): Uint8Array<ArrayBuffer> =>
  signStatement(statement, signer);

export const gatewaySubject = (orgId: string, gatewayId: string): string => `${orgId}/${gatewayId}`;

/** From which position to before which a key is valid; `Infinity` for ever. */
export interface KeyRange {
  readonly key: NoteKey;
  readonly from: number;
  readonly until: number;
}

export class KeyHistory {
  readonly deployment: string;
  /** By vkey within `role subject`. */
  readonly #ranges = new Map<string, Map<string, KeyRange>>();
  #next = 0;
  #previous = hexOfHash(ZERO_HASH);

  constructor(deployment: string) {
    this.deployment = deployment;
  }

  /**
   * The history of all statements, by number from 0.
   *
   * @throws Failure `key-history.invalid`, `statement.invalid`, `key.invalid`, or of a `NoteReason`.
   */
  static of(deployment: string, notes: Iterable<Uint8Array>, rootKey: NoteKey): KeyHistory {
    const history = new KeyHistory(deployment);
    for (const note of notes) history.add(note, rootKey);
    return history;
  }

  /** The number and the `previous` of the next statement. */
  get next(): { readonly number: number; readonly previous: string } {
    return { number: this.#next, previous: this.#previous };
  }

  /** @throws as `of`. */
  add(note: Uint8Array, rootKey: NoteKey): KeyStatement {
    const statement = openStatement(note, [rootKey], keyStatementForm);
    const { number, previous, role, subject, from, until, vkey } = statement;
    if (number !== this.#next) throw invalid(`statement ${this.#next} is missing before statement ${number}`);
    if (previous !== this.#previous) throw invalid(`statement ${number} does not follow the one before it`);
    const key = parseVkey(vkey);
    this.#checkName(statement, key);
    if (until !== null && until < from) throw invalid(`statement ${number} ends before it begins`);
    const of = `${role} ${subject}`;
    const ranges = this.#ranges.get(of) ?? new Map<string, KeyRange>();
    const known = ranges.get(vkey);
    if (known !== undefined && known.from !== from) {
      throw invalid(`statement ${number} moves the beginning of a key from ${known.from} to ${from}`);
    }
    ranges.set(vkey, { key, from, until: until ?? Number.POSITIVE_INFINITY });
    this.#ranges.set(of, ranges);
    this.#next += 1;
    this.#previous = sha256Hex(note);
    return statement;
  }

  /** The keys of a role that are valid for a subject at a position. */
  keysAt(role: KeyRole, subject: string, position: number): NoteKey[] {
    const ranges = this.#ranges.get(`${role} ${subject}`);
    if (ranges === undefined) return [];
    return [...ranges.values()]
      .filter(({ from, until }) => position >= from && position < until)
      .map(({ key }) => key);
  }

  /** What the latest statements say of the keys of a role for a subject, in the order in which these were first stated. */
  rangesOf(role: KeyRole, subject: string): readonly KeyRange[] {
    return [...(this.#ranges.get(`${role} ${subject}`)?.values() ?? [])];
  }

  /** The subjects that have a key of a role. */
  subjectsOf(role: KeyRole): string[] {
    return [...this.#ranges.keys()]
      .filter((of) => of.startsWith(`${role} `))
      .map((of) => of.slice(role.length + 1));
  }

  /** The keys of a role for any subject, at any position. */
  keysOf(role: KeyRole): NoteKey[] {
    const of = [...this.#ranges].filter(([name]) => name.startsWith(`${role} `));
    const keys = of.flatMap(([, ranges]) => [...ranges.values()].map(({ key }) => key));
    return [...new Map(keys.map((key) => [key.vkey, key])).values()];
  }

  /** A gateway's key by its id; undefined when the history has none that is valid in this epoch. */
  gatewayKey(orgId: string, gatewayId: string, epoch: number, keyId: string): NoteKey | undefined {
    const ranges = this.#ranges.get(`gateway ${gatewaySubject(orgId, gatewayId)}`);
    if (ranges === undefined) return undefined;
    for (const { key, from, until } of ranges.values())
      if (key.keyId === keyId && epoch >= from && epoch < until) return key;
    return undefined;
  }

  #checkName({ role, subject, number }: KeyStatement, key: NoteKey): void {
    const { deployment } = this;
    const isNamed = {
      gateway: () => isGatewayName(key.name, deployment, subject),
      log: () => key.name === subject && subject.startsWith(`${deployment}/`),
      archive: () => key.name === archiveKeyName(deployment) && subject.startsWith(`${deployment}/`),
      anchor: () => key.name === anchorOrigin(deployment) && subject === key.name,
      witness: () => subject === anchorOrigin(deployment),
      person: () => isPersonName(subject) && key.name === personKeyName(deployment, subject),
    }[role]();
    const isTyped = key.type === (role === 'witness' ? 0x04 : 0x01);
    if (!isNamed || !isTyped)
      throw invalid(`statement ${number} gives the role ${role} to a key of another name`);
  }
}

/** The subject is `<org>/<gateway>`, neither of which holds a slash. */
function isGatewayName(name: string, deployment: string, subject: string): boolean {
  const [orgId = '', gatewayId = '', ...more] = subject.split('/');
  return (
    orgId !== '' &&
    gatewayId !== '' &&
    more.length === 0 &&
    name === gatewayKeyName(deployment, orgId, gatewayId)
  );
}

function invalid(why: string): Failure {
  return new Failure({
    code: 'key-history.invalid',
    retry: 'no',
    message: `the key history cannot be used: ${why}`,
    mend: 'Compare it with the copy that the holder of the root key has.',
  });
}
