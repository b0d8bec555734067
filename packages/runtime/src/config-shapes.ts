import { z } from 'zod';

// What the configuration of several services holds, so that one thing is written in one way for all of them.

/** Texts between commas, or none. */
export const list = (text: string): string[] =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');

/** Texts between commas, at least one. */
export const listed = z.string().transform(list).pipe(z.array(z.string()).min(1));

/** Milliseconds within bounds. */
export const ms = (least: number, most: number, usual: number) =>
  z.coerce.number().int().min(least).max(most).default(usual);

/** 0 takes any that is free. */
export const port = z.coerce.number().int().min(0).max(65_535);

/** Where a server of this process listens: on this machine alone unless it is told otherwise. */
export const listening = (usualPort: number) =>
  z.strictObject({ host: z.string().default('127.0.0.1'), port: port.default(usualPort) }).prefault({});

/** `host:port` between commas. */
export const brokers = z.string().min(3).pipe(listed);

/** A name that a person gives: of an organisation, a gateway, an upstream. */
export const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be lower-case letters, digits and hyphens, at most 63');

/** Where what is recorded goes, and how many partitions its topics have. */
export const shipping = z.strictObject({
  brokers,
  partitions: z.coerce.number().int().min(1).max(1_024).default(4),
});

/** Which retention class the events of an organisation have. */
export const retention = z
  .strictObject({
    default_class: z.string().default('standard'),
    /** By organisation. */
    classes: z.record(name, z.string()).default({}),
  })
  .prefault({});

/** Bytes of memory or of a request. */
export const bytes = (usual: number) => z.coerce.number().int().min(65_536).default(usual);

/** How long a silent member of a consumer group keeps its partitions. */
export const sessionMsMax = ms(1_000, 300_000, 10_000);

/** Retention classes; each has a topic. */
export const classes = z.string().default('standard').pipe(listed);

/** Name of the installation: first part of every log's origin and of every key's name. Never changed. */
export const deployment = z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/);

/** Unique to a process, and the same at each of its starts: what it records is a stream under this name. */
export const instance = (usual: string) =>
  z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/)
    .default(usual);

/** Organisation of events that belong to none but the installation. */
export const ownOrg = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/)
  .default('cairn');

export const clickhouse = z.object({
  url: z.url(),
  user: z.string().default('default'),
  password: z.string().default(''),
});

/** A registry outside, whose ids stand in the frames; without it they are those of schemas/registry.json. */
export const schemaRegistryUrl = z.url().optional();

export const logLevel = z.enum(['debug', 'info', 'warn', 'error']).default('info');
