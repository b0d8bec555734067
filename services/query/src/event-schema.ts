import { SCHEMAS } from '@cairn/event';
import { ANSWER_FIELDS, type FoundEvent } from '@cairn/query';
import { z } from 'zod';
import type { Caller } from './authenticate.ts';

/** What only some may see: values that a privacy rule keeps in the clear, and what is sealed. */
const CONTENT = ['parameters_kept', 'parameters_sealed', 'response_sealed'] as const;
const SEALED = ['parameters_sealed', 'response_sealed'] as const;

const fields = SCHEMAS.at(-1)?.schema.fields ?? [];

/** An event as the API gives it: fields under the names of schemas/audit-event.avsc, and its place in the log. */
export const eventSchema = z
  .object({
    ...Object.fromEntries(
      ANSWER_FIELDS.map((name) => {
        const field = fields.find((one) => one.name === name)!;
        return [name, shapeOf(name, field.type).describe(field.doc ?? '')];
      }),
    ),
    topic: z.string().describe('Topic that it was read from.'),
    partition: z.int(),
    offset: z.int().describe('With topic and partition, its place in the log.'),
    received_at: z.int().describe('When the broker appended it, milliseconds since 1970.'),
    leaf_hash: z.string().nullable().describe('Its leaf in the Merkle log of the partition, hex.'),
  })
  .meta({
    id: 'Event',
    description:
      'Ids are UUIDs, bytes are hex, times are microseconds since 1970; the empty string means absent.',
  });
export type ApiEvent = z.infer<typeof eventSchema>;

function shapeOf(name: string, type: unknown): z.ZodType {
  if (Array.isArray(type))
    return shapeOf(
      name,
      type.find((branch) => branch !== 'null'),
    ).nullable();
  if (type === 'int' || type === 'long') return z.int();
  const complex = type as {
    type?: unknown;
    items?: unknown;
    fields?: { name: string; type: unknown; doc?: string }[];
  };
  if (complex.type === 'long') return z.int();
  if (complex.type === 'array') return z.array(shapeOf(name, complex.items));
  if (complex.type === 'record')
    return z.object(
      Object.fromEntries(
        (complex.fields ?? []).map((field) => [
          field.name,
          shapeOf(field.name, field.type).describe(field.doc ?? ''),
        ]),
      ),
    );
  return name === 'signature' || name.endsWith('_sealed') ? z.string().nullable() : z.string();
}

/** What a caller may see of an event that was found, as an object of its own. */
export function shownEvent(event: FoundEvent, { role }: Pick<Caller, 'role'>): ApiEvent {
  // JSON has no member for what is undefined. To leave the store out of the copy would make it several times as dear.
  const shown: Record<string, unknown> = { ...event, store: undefined };
  for (const name of hiddenFrom(role)) shown[name] = name === 'parameters_kept' ? [] : null;
  return shown as ApiEvent;
}

export function hiddenFrom(role: Caller['role']): readonly string[] {
  if (role === 'auditor') return [];
  return role === 'analyst' ? SEALED : CONTENT;
}
