import type { Evidence } from '@cairn/archive';
import {
  type KeyHistory,
  type KeyStatement,
  keyName,
  type NoteSigner,
  signKeyStatement,
} from '@cairn/ledger';

/** What is said about a key; its place in the history is given by the history. */
export type SaidOfKey = Pick<KeyStatement, 'from' | 'reason' | 'role' | 'subject' | 'until' | 'vkey'>;

/**
 * Signs the next statement of a key history and writes it.
 *
 * @returns the statement, or the name of its object where another one was written under it meanwhile.
 * @throws Failure when it would not count to whoever reads it; then nothing was written.
 */
export async function putStatement(
  evidence: Pick<Evidence, 'create'>,
  history: KeyHistory,
  root: NoteSigner,
  lockUntil: Parameters<Evidence['create']>[2],
  said: SaidOfKey,
): Promise<{ readonly statement: KeyStatement } | { readonly taken: string }> {
  const { number, previous } = history.next;
  const { from, reason, role, subject, until, vkey } = said;
  const statement: KeyStatement = {
    from,
    kind: 'cairn/key',
    number,
    previous,
    reason,
    role,
    subject,
    until,
    v: 1,
    vkey,
  };
  const note = signKeyStatement(statement, root);
  // It must count to whoever reads it; a statement that does not is never written, since it cannot be taken back.
  history.add(note, root.key);
  if ((await evidence.create(keyName(number), note, lockUntil)) === 'exists')
    return { taken: keyName(number) };
  return { statement };
}
