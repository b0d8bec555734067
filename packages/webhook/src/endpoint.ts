import { z } from 'zod';
import { type Alert, LEVELS } from './alert.ts';
import { type NetworkRules, refusalOfUrl } from './allow-address.ts';
import { FORMATS } from './format-alert.ts';
import { keyOfFile, secretsOfFile } from './secret-file.ts';
import { signerOf } from './sign-webhook.ts';

const secret = z.string().refine(isSecret, {
  message: 'must be whsec_ with 24 to 64 bytes or whsk_ with an Ed25519 key, in base64',
});

const endpointSchema = z
  .strictObject({
    /** Names it in deliveries, metrics and on the command line. Never changed: deliveries that wait are found by it. */
    name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/),
    url: z.url({ protocol: /^https?$/ }),
    format: z.enum(FORMATS).default('json'),
    /** Each signs; while a secret is exchanged both stand here. Formats of others have no place for signatures and need none. */
    secrets: z.array(secret).max(4).default([]),
    /** In their place a file that only its owner may read, one secret in a line, read at each attempt. */
    secretFile: z.string().min(1).optional(),
    /** PagerDuty's routing key, or Opsgenie's API key. */
    key: z.string().min(1).max(200).optional(),
    /** In its place a file that holds it. */
    keyFile: z.string().min(1).optional(),
    /** Organisations whose alerts go there; default all. */
    orgs: z.array(z.string().min(1)).min(1).optional(),
    /** From this level on. */
    level: z.enum(LEVELS).default('informational'),
    /** Rules whose alerts go there; default all. */
    rules: z.array(z.string().min(1)).min(1).optional(),
  })
  .superRefine(({ format, secrets, secretFile, key, keyFile }, context) => {
    if (format === 'json' && secrets.length === 0 && secretFile === undefined)
      context.addIssue({ code: 'custom', path: ['secrets'], message: 'plain JSON must be signed' });
    if (secrets.length > 0 && secretFile !== undefined)
      context.addIssue({ code: 'custom', path: ['secretFile'], message: 'stands beside secrets; keep one' });
    if ((format === 'pagerduty' || format === 'opsgenie') && (key ?? keyFile) === undefined)
      context.addIssue({ code: 'custom', path: ['key'], message: `${format} needs its key` });
    if (key !== undefined && keyFile !== undefined)
      context.addIssue({ code: 'custom', path: ['keyFile'], message: 'stands beside key; keep one' });
  });

/** Where alerts are told. */
export type Endpoint = z.infer<typeof endpointSchema>;

const networkSchema = z
  .strictObject({
    ports: z.array(z.int().min(1).max(65_535)).min(1).default([443]),
    plainHttp: z.boolean().default(false),
    allow: z.array(z.union([z.cidrv4(), z.cidrv6()])).default([]),
  })
  .prefault({});

/** The part of the alerting configuration that says where alerts are told. */
export const webhooksSchema = z
  .strictObject({ network: networkSchema, endpoints: z.array(endpointSchema).default([]) })
  .superRefine(({ network, endpoints }, context) => {
    endpoints.forEach(({ name, url }, index) => {
      if (endpoints.findIndex((other) => other.name === name) !== index)
        context.addIssue({ code: 'custom', path: ['endpoints', index, 'name'], message: 'stands twice' });
      const refusal = URL.canParse(url) ? refusalOfUrl(new URL(url), network) : 'it is not a URL';
      if (refusal !== undefined)
        context.addIssue({ code: 'custom', path: ['endpoints', index, 'url'], message: refusal });
    });
  });

export interface Webhooks {
  readonly network: NetworkRules;
  readonly endpoints: readonly Endpoint[];
}

/** What signs there now. @throws Failure `webhook.secret-file` */
export const secretsOf = ({ secrets, secretFile }: Endpoint): readonly string[] =>
  secretFile === undefined ? secrets : secretsOfFile(secretFile);

/** The key of its integration, where it has one. @throws Failure `webhook.secret-file` */
export const keyOf = ({ key, keyFile }: Endpoint): string | undefined =>
  keyFile === undefined ? key : keyOfFile(keyFile);

/** Whether an alert is told there. */
export function wants({ orgs, level, rules }: Endpoint, alert: Alert): boolean {
  if (orgs !== undefined && !orgs.includes(alert.orgId)) return false;
  if (rules !== undefined && !rules.includes(alert.rule)) return false;
  return LEVELS.indexOf(alert.level) >= LEVELS.indexOf(level);
}

function isSecret(text: string): boolean {
  try {
    signerOf(text);
    return true;
  } catch {
    return false;
  }
}
