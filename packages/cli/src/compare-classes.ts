import { classOf, type RetentionPolicy } from '@cairn/retention';
import { readConfig } from '@cairn/runtime';
import { z } from 'zod';

/** Of a gateway's configuration: who calls, and which class it gives them. The gateway itself checks the rest. */
const schema = z.object({
  gateway_id: z.string().default(''),
  retention: z
    .object({
      default_class: z.string().default('standard'),
      classes: z.record(z.string(), z.string()).default({}),
    })
    .prefault({}),
  identities: z.array(z.object({ org: z.string() })).default([]),
  anonymous: z.object({ org: z.string() }).optional(),
});

/** An organisation whose events a gateway puts into the topic of another class than the policy gives it. */
export interface ClassDifference {
  readonly gateway: string;
  /** Empty for organisations that neither names. */
  readonly org: string;
  readonly gateway_class: string;
  /** Null when the policy gives it none. */
  readonly policy_class: string | null;
}

/**
 * Where a gateway's classes are not those of the policy at a time. The class decides the topic, and the topic how long events
 * are kept, so an event of the wrong class is kept too short or too long and cannot be moved.
 *
 * @param file configuration of the gateway, YAML.
 * @param at milliseconds.
 * @throws Failure `config.invalid`
 */
export function compareClasses(file: string, policy: RetentionPolicy, at: number): ClassDifference[] {
  const { gateway_id, retention, identities, anonymous } = readConfig({
    name: 'the gateway',
    schema,
    env: {},
    names: {},
    file,
  });
  const callers = [...identities, ...(anonymous === undefined ? [] : [anonymous])].map(({ org }) => org);
  const named = new Set([...callers, ...Object.keys(retention.classes), ...policy.organisations.keys()]);
  const differences: ClassDifference[] = [];
  const compare = (org: string, ofGateway: string, ofPolicy: string | undefined): void => {
    if (ofGateway === ofPolicy) return;
    differences.push({
      gateway: gateway_id,
      org,
      gateway_class: ofGateway,
      policy_class: ofPolicy ?? null,
    });
  };
  compare('', retention.default_class, policy.defaultClass);
  for (const org of [...named].sort())
    compare(org, retention.classes[org] ?? retention.default_class, classOf(policy, org, at)?.class);
  return differences;
}
