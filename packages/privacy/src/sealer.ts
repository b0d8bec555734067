import type { Redaction } from '@cairn/event';
import { canonicalJson } from './keyed.ts';
import { beginningInJson, bytesInJson, leavesOf } from './leaves.ts';
import { matches, type PrivacyRules, ruleFor, type SealedResponses, type SubjectRule } from './rules.ts';
import { isSecretName, withoutSecrets } from './scan.ts';
import {
  joinBlocks,
  type NamedValue,
  type SealedBlock,
  type SealedField,
  sealBlock,
} from './sealed-value.ts';
import { type OpenedKey, ORGANISATION } from './subject-keys.ts';

/** A call of which values may be sealed. */
export interface SealableCall {
  readonly orgId: string;
  readonly service: string;
  readonly tool: string;
  /** Token of the user for whom the agent acts; empty without one. */
  readonly user: string;
  readonly parameters: unknown;
}

/** What of a call is sealed, as the event has it. */
export interface SealedValues {
  /** Null where a rule was for the call and nothing was there to seal. */
  readonly bytes: Uint8Array<ArrayBuffer> | null;
  /** What was not sealed, or not whole, by why. */
  readonly redactions: readonly Redaction[];
}

/** Seals what rules say. Without a rule for a tool it does nothing, not even wait. */
export interface Sealer {
  /** @param eventId of the event that will hold them. */
  parameters(call: SealableCall, eventId: Uint8Array): Promise<SealedValues> | undefined;
  /** What seals the response of a call, once it has come. */
  response(
    call: SealableCall,
  ): ((eventId: Uint8Array, response: unknown) => Promise<SealedValues>) | undefined;
}

export interface SealerOptions {
  readonly rules: PrivacyRules;
  readonly responses: SealedResponses;
  /** Undefined while the subject's key is being erased. */
  readonly keyFor: (orgId: string, subject: string) => Promise<OpenedKey | undefined>;
  readonly token: (orgId: string, valueClass: string, value: string) => string;
}

const VALUES_MAX = 64;
/** Of all values of one event together, as they stand in their blocks: an event is at most 61,430 bytes with all the rest. */
const PARAMETERS_BYTES_MAX = 12_288;
const RESPONSE_BYTES_MAX = 24_576;

export function createSealer({ rules, responses, keyFor, token }: SealerOptions): Sealer {
  const sealing = rules.filter((rule) => rule.do === 'seal');

  return {
    parameters(call, eventId) {
      const { service, tool } = call;
      if (!sealing.some((rule) => matches(rule.service, service) && matches(rule.tool, tool)))
        return undefined;
      return seal(call, eventId, 'parameters_sealed', valuesOf(rules, call), PARAMETERS_BYTES_MAX);
    },
    response(call) {
      const { service, tool } = call;
      const rule = responses.find((one) => matches(one.service, service) && matches(one.tool, tool));
      if (rule === undefined) return undefined;
      return (eventId, response) => {
        const room = { characters: RESPONSE_BYTES_MAX };
        const value = canonicalJson(withoutSecretsIn(response, room));
        const values = [{ name: '$', value, isCut: room.characters < 0, subject: rule.subject }];
        return seal(call, eventId, 'response_sealed', values, RESPONSE_BYTES_MAX);
      };
    },
  };

  /** Each subject's values in one block, in the order of the call. What has no subject, or one that is being erased, is not kept. */
  async function seal(
    call: SealableCall,
    eventId: Uint8Array,
    field: SealedField,
    values: readonly SealableValue[],
    bytesMax: number,
  ): Promise<SealedValues> {
    const counts = new Map<string, number>();
    const count = (rule: string, by = 1): void => void counts.set(rule, (counts.get(rule) ?? 0) + by);
    const bySubject = new Map<string, NamedValue[]>();
    let room = bytesMax;
    for (const { name, value, isCut: wasCut = false, subject: rule } of values) {
      const subject = subjectOf(call, rule);
      if (subject === undefined) {
        count('seal.no-subject');
        continue;
      }
      const kept = beginningInJson(value, Math.max(0, room));
      room -= bytesInJson(kept) + bytesInJson(name);
      const isCut = wasCut || kept !== value.toWellFormed();
      if (isCut) count('seal.cut');
      const own = bySubject.get(subject) ?? [];
      bySubject.set(subject, own);
      own.push(isCut ? { name, value: kept, cut: true } : { name, value: kept });
    }
    const blocks: SealedBlock[] = [];
    for (const [subject, own] of bySubject) {
      const opened = await keyFor(call.orgId, subject);
      if (opened === undefined) {
        count('seal.erasing', own.length);
        continue;
      }
      const place = { orgId: call.orgId, subject, field, eventId };
      blocks.push(sealBlock(opened.dataKey, opened.key.keyId, place, own));
      opened.dataKey.fill(0);
    }
    return {
      bytes: blocks.length === 0 ? null : joinBlocks(blocks),
      redactions: [...counts].map(([rule, times]) => ({ rule, count: times })),
    };
  }

  /** Undefined where the call does not name one subject. */
  function subjectOf({ orgId, user, parameters }: SealableCall, rule: SubjectRule): string | undefined {
    if (rule === 'organisation') return ORGANISATION;
    if (rule === 'user') return user === '' ? undefined : user;
    const named = new Set<string>();
    for (const { field, text } of leavesOf(parameters, '', 0)) if (field === rule.field) named.add(text);
    const [only = ''] = named;
    return named.size === 1 && only !== '' ? token(orgId, rule.class, only) : undefined;
  }
}

interface SealableValue {
  readonly name: string;
  readonly value: string;
  readonly isCut?: boolean;
  readonly subject: SubjectRule;
}

/** The values that rules seal, without what is a secret: a credential is never kept, not even sealed. */
function valuesOf(rules: PrivacyRules, { service, tool, parameters }: SealableCall): SealableValue[] {
  const values: SealableValue[] = [];
  for (const leaf of leavesOf(parameters, '', 0)) {
    if (values.length >= VALUES_MAX) break;
    const rule = ruleFor(rules, service, tool, leaf.field);
    if (rule?.do !== 'seal' || isSecretName(leaf.name)) continue;
    values.push({ name: leaf.field, value: withoutSecrets(leaf.text), subject: rule.subject ?? 'user' });
  }
  return values;
}

/** A copy of a value without secrets, as far as there is room for it. */
function withoutSecretsIn(value: unknown, room: { characters: number }): unknown {
  if (room.characters < 0) return '…';
  if (typeof value === 'string') {
    room.characters -= value.length;
    return withoutSecrets(value);
  }
  room.characters -= 4;
  if (Array.isArray(value)) {
    const copy: unknown[] = [];
    for (const entry of value) {
      copy.push(withoutSecretsIn(entry, room));
      if (room.characters < 0) break;
    }
    return copy;
  }
  if (value === null || typeof value !== 'object') return value;
  const copy: [string, unknown][] = [];
  for (const [name, entry] of Object.entries(value)) {
    room.characters -= name.length;
    copy.push([
      withoutSecrets(name),
      isSecretName(name) && entry !== null && typeof entry !== 'object'
        ? '[secret.named-field]'
        : withoutSecretsIn(entry, room),
    ]);
    if (room.characters < 0) break;
  }
  return Object.fromEntries(copy);
}
