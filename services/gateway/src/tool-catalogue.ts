import { createHash } from 'node:crypto';
import type { Action, Sensitivity } from '@cairn/event';
import { canonicalJson, matches } from '@cairn/privacy';
import type { UpstreamConfig } from './config.ts';
import { isObject } from './read-message.ts';

/** What is known of a tool. Names are the event's. */
export interface ToolFacts {
  readonly action: Action;
  readonly sensitivity: Sensitivity;
  readonly data_classes: readonly string[];
  /** SHA-256 over the canonical JSON (RFC 8785) of the definition that the agent was last shown; null before any. */
  readonly tool_hash: Uint8Array | null;
  readonly timeoutMs: number;
}

export interface ToolCatalogue {
  /** Takes the tools of a `tools/list` result in, as they pass to the agent. */
  learn(service: string, result: unknown): void;
  factsOf(service: string, tool: string): ToolFacts;
}

const TOOLS_REMEMBERED_MAX = 10_000;
/** Tools of longer names cannot be called through the gateway. */
const NAME_CHARACTERS_MAX = 4_096;

/**
 * Facts of tools: configuration first, which an operator wrote; then what the server's own annotations hint, which never
 * widen what a policy allows, since absent hints count as the worst.
 */
export function createToolCatalogue(upstreams: Readonly<Record<string, UpstreamConfig>>): ToolCatalogue {
  const shown = new Map<string, { readonly hash: Uint8Array; readonly action: Action }>();
  const keyOf = (service: string, tool: string): string => `${service}\u0000${tool}`;
  return {
    learn(service, result) {
      const tools = isObject(result) && Array.isArray(result['tools']) ? (result['tools'] as unknown[]) : [];
      for (const tool of tools) {
        if (!isObject(tool) || typeof tool['name'] !== 'string' || tool['name'].length > NAME_CHARACTERS_MAX)
          continue;
        if (shown.size >= TOOLS_REMEMBERED_MAX) shown.delete(shown.keys().next().value ?? '');
        const hash = createHash('sha256').update(canonicalJson(tool)).digest();
        shown.set(keyOf(service, tool['name']), { hash: new Uint8Array(hash), action: hintedAction(tool) });
      }
    },
    factsOf(service, tool) {
      const upstream = upstreams[service];
      const configured = Object.entries(upstream?.tools ?? {}).find(([glob]) => matches(glob, tool))?.[1];
      const known = shown.get(keyOf(service, tool));
      return {
        action: configured?.action ?? known?.action ?? 'unknown',
        sensitivity: configured?.sensitivity ?? 'unknown',
        data_classes: configured?.data_classes ?? [],
        tool_hash: known?.hash ?? null,
        timeoutMs: configured?.timeout_ms ?? upstream?.timeout_ms ?? 60_000,
      };
    },
  };
}

/** MCP's tool annotations: `readOnlyHint`, `destructiveHint`. */
function hintedAction(tool: Record<string, unknown>): Action {
  const annotations = isObject(tool['annotations']) ? tool['annotations'] : {};
  if (annotations['readOnlyHint'] === true) return 'read';
  if (annotations['destructiveHint'] === true) return 'delete';
  return annotations['readOnlyHint'] === false && annotations['destructiveHint'] === false
    ? 'update'
    : 'unknown';
}
