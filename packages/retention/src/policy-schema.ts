import { z } from 'zod';
import { PERIOD_FORM, parsePeriod } from './period.ts';

// The form of retention.yaml. schemas/retention.schema.json is made from it; what spans several places of the file is
// checked in read-policy.ts.

/** A key of the file: regimes, classes, organisations and holds are called so. Part of topics and of object keys. */
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;
/** As `topicOf` demands it. */
const CLASS_NAME = /^[a-z0-9][a-z0-9-]{0,39}$/;
/** A person as the identity provider names them. One spelling each, so that two spellings are not two persons. */
const PERSON = /^[a-z0-9][a-z0-9._@-]{0,127}$/;

const name = z.string().regex(NAME, 'must be 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit');
const className = z
  .string()
  .regex(CLASS_NAME, 'must be 1 to 40 of a-z, 0-9 and -, beginning with a letter or digit');
const person = z
  .string()
  .regex(PERSON, 'must be how the identity provider names the person: 1 to 128 of a-z, 0-9, ., _, @ and -');
const text = z.string().trim().min(1, 'must say something').max(2_000);

const period = z
  .string()
  .regex(new RegExp(PERIOD_FORM), 'must be a period such as "400 days", "12 months" or "6 years"')
  .refine(
    (value) => !new RegExp(PERIOD_FORM).test(value) || parsePeriod(value) !== undefined,
    'must be at most 100 years: a lock of that length cannot be taken back',
  );

const day = z.iso.date('must be a day such as 2026-08-02').refine((value) => value >= '1970-01-01', {
  message: 'must be 1970-01-01 or later',
});

/** A day stands for its first instant in UTC. */
const instant = z.union([day, z.iso.datetime({ offset: true, local: false })], {
  error: 'must be a day or an instant such as 2026-04-17T09:00:00Z',
});

const timezone = z
  .string()
  .refine(isTimezone, 'must be a time zone such as Europe/Brussels')
  .describe('IANA name of the time zone in which days are counted.');

const regime = z.strictObject({
  title: text,
  basis: z
    .enum(['law', 'standard', 'practice'])
    .describe('A law, a standard that contracts make binding, or what is usual.'),
  source: text.describe('Where it is written, to the paragraph.'),
  says: text.describe('What it says, near its own words.'),
  keep_at_least: period.optional().describe('Counted from the event.'),
  hot_at_least: period.optional().describe('How long the latest events are in the hot store.'),
  keep_at_most: z
    .union([z.literal('stated'), period])
    .optional()
    .describe('A maximum: it warns. `stated`: each class says its own.'),
  keep_after_operation: z
    .union([z.literal('stated'), period])
    .optional()
    .describe('Kept while the system operates, and so long after. `stated`: each class says its own.'),
  applies_from: day.optional().describe('It binds events from this day on.'),
  applies_until: day.optional().describe('It binds events before this day.'),
  timezone: timezone.default('UTC'),
});

const taken = z.strictObject({
  regime: name,
  keep_at_most: period.optional().describe('Where the regime says `stated`.'),
  keep_after_operation: period.optional().describe('Where the regime says `stated`.'),
  operated_until: z
    .union([z.literal('open'), day], { error: 'must be a day such as 2031-05-01, or open' })
    .optional()
    .describe('Last day on which the system operates; `open` while it does.'),
});

const retentionClass = z.strictObject({
  regimes: z
    .array(z.union([name, taken], { error: 'must be a regime, or a mapping with `regime`' }))
    .min(1, 'must name at least one'),
  hot_days: z
    .int()
    .min(1)
    .max(36_525)
    .optional()
    .describe("Days in the hot store, today's included; without it the regimes decide."),
  object_lock: z.enum(['compliance', 'governance']).default('compliance'),
  lock_for: period.optional().describe('A lock of another length than the regimes ask for.'),
});

const assignment = z.strictObject({ class: className, from: day.optional() });

const release = z.strictObject({
  by: z.array(person).min(2, 'must name two persons'),
  at: instant,
  reason: text,
});

const hold = z
  .strictObject({
    id: name,
    org: name.optional(),
    session: z.string().min(1).max(256).optional(),
    agent: z.string().min(1).max(128).optional(),
    from: instant.optional(),
    to: instant.optional().describe('The first instant that it does not cover.'),
    reason: text,
    placed_by: person,
    placed_at: instant,
    release: release.optional(),
  })
  .describe('Covers what fits every part that it names.');

/** The form of `retention.yaml`. */
export const policySchema = z.strictObject({
  version: z.literal(1),
  regimes: z.record(name, regime),
  classes: z
    .record(className, retentionClass)
    .refine((all) => Object.keys(all).length > 0, 'must name at least one'),
  hot_days: z.int().min(1).max(36_525).default(30).describe('For classes that say nothing else.'),
  default_class: className.optional().describe('Of organisations that have no entry.'),
  organisations: z
    .record(name, z.union([className, z.array(assignment).min(1)], { error: 'must be a class or a list' }))
    .default({}),
  lock_renewal: z
    .strictObject({ by: period, when_under: period })
    .default({ by: '12 months', when_under: '6 months' })
    .describe('How a lock without a known end is carried on.'),
  holds: z.array(hold).default([]),
});

export type PolicyFile = z.infer<typeof policySchema>;

/** The JSON Schema of the file, for editors and for tools that are not ours. */
export function policyJsonSchema(): object {
  return {
    $id: 'https://cairn.example/schemas/retention.schema.json',
    title: 'Retention policy of Cairn',
    ...z.toJSONSchema(policySchema, { io: 'input', target: 'draft-2020-12' }),
  };
}

function isTimezone(id: string): boolean {
  try {
    Temporal.PlainDate.from('2000-01-01').toZonedDateTime(id);
    return true;
  } catch {
    return false;
  }
}
