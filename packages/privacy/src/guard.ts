import type { ParameterKept, ParameterToken, Redaction } from '@cairn/event';
import type { KeyRing } from './key-ring.ts';
import { keyedHash, tokenOf } from './keyed.ts';
import { beginningOf, leavesOf } from './leaves.ts';
import { type PrivacyRules, ruleFor } from './rules.ts';
import { type Findings, isSecretName, redactionsOf, scanValue, scrubText } from './scan.ts';
import { shapeOf } from './shape.ts';

/** What the trail may know of a call's parameters. Field names are the event's. */
export interface GuardedParameters {
  readonly parameters_hash: Uint8Array;
  readonly parameters_shape: string;
  readonly parameters_size: number;
  readonly parameters_tokens: readonly ParameterToken[];
  readonly parameters_kept: readonly ParameterKept[];
  readonly redactions: readonly Redaction[];
}

export interface GuardedResponse {
  readonly response_hash: Uint8Array;
  readonly response_size: number;
  readonly redactions: readonly Redaction[];
}

/** Stands between what agents say and what is stored. Nothing that it returns holds a raw credential or personal value. */
export interface PrivacyGuard {
  /** @param sizeBytes of the parameters as they were sent. */
  parameters(
    orgId: string,
    service: string,
    tool: string,
    value: unknown,
    sizeBytes: number,
  ): GuardedParameters;
  response(orgId: string, service: string, tool: string, value: unknown, sizeBytes: number): GuardedResponse;
  /** A text with what the detectors know replaced by `[rule]`, cut to so many bytes (default 1,024). */
  scrub(
    text: string,
    bytesMax?: number,
  ): { readonly text: string; readonly redactions: readonly Redaction[] };
  /** A token for a value of this class; the empty value has none and stays empty. */
  token(orgId: string, valueClass: string, value: string): string;
  /** Keyed hash over the canonical JSON of a value. 32 bytes. */
  hash(orgId: string, value: unknown): Uint8Array;
}

export interface PrivacyOptions {
  readonly keys: KeyRing;
  /** Default: keep nothing. */
  readonly rules?: PrivacyRules;
}

const KEPT_FIELDS_MAX = 32;
const KEPT_BYTES_MAX = 512;
const SCRUBBED_BYTES_MAX = 1_024;

export function createPrivacyGuard({ keys, rules = [] }: PrivacyOptions): PrivacyGuard {
  const token = (orgId: string, valueClass: string, value: string): string =>
    value === '' ? '' : tokenOf(keys.macFor(orgId, 'token'), orgId, valueClass, value);

  return {
    parameters(orgId, service, tool, value, sizeBytes) {
      const findings: Findings = new Map();
      const scrubbed = rules.length > 0 ? new Map<string, string>() : undefined;
      scanValue(value, findings, scrubbed);
      const tokens: ParameterToken[] = [];
      const kept: ParameterKept[] = [];
      if (scrubbed !== undefined) {
        for (const leaf of leavesOf(value, '', 0)) {
          if (tokens.length + kept.length >= KEPT_FIELDS_MAX) break;
          const rule = ruleFor(rules, service, tool, leaf.field);
          if (rule?.do === 'token') {
            tokens.push({ name: leaf.field, token: token(orgId, leaf.field, leaf.text) });
          } else if (rule?.do === 'keep' && !isSecretName(leaf.name)) {
            kept.push({
              name: leaf.field,
              // Beyond the scan's budget, and for what is no text, it is looked at here.
              value: beginningOf(scrubbed.get(leaf.text) ?? scrubText(leaf.text, new Map()), KEPT_BYTES_MAX),
            });
          }
        }
      }
      return {
        parameters_hash: keyedHash(keys, orgId, value),
        parameters_shape: shapeOf(value),
        parameters_size: sizeBytes,
        parameters_tokens: tokens,
        parameters_kept: kept,
        redactions: redactionsOf(findings),
      };
    },
    response(orgId, _service, _tool, value, sizeBytes) {
      const findings: Findings = new Map();
      scanValue(value, findings);
      return {
        response_hash: keyedHash(keys, orgId, value),
        response_size: sizeBytes,
        redactions: redactionsOf(findings),
      };
    },
    scrub(text, bytesMax = SCRUBBED_BYTES_MAX) {
      const findings: Findings = new Map();
      const scrubbed = scrubText(text, findings);
      return { text: beginningOf(scrubbed, bytesMax), redactions: redactionsOf(findings) };
    },
    token,
    hash: (orgId, value) => keyedHash(keys, orgId, value),
  };
}
