import { Failure } from '@cairn/failure';

/** One log: a partition of a topic in a deployment. */
export interface LogName {
  readonly deployment: string;
  readonly topic: string;
  readonly partition: number;
}

const NAME = '[a-z0-9][a-z0-9.-]{0,62}';
const ORIGIN = new RegExp(`^(${NAME})/(${NAME})/(0|[1-9][0-9]{0,9})$`);
const DEPLOYMENT = new RegExp(`^${NAME}$`);

/** `<deployment>/<topic>/<partition>`. @throws Failure `origin.invalid` */
export function originOf({ deployment, topic, partition }: LogName): string {
  const origin = `${deployment}/${topic}/${partition}`;
  parseOrigin(origin);
  return origin;
}

/** @throws Failure `origin.invalid` */
export function parseOrigin(origin: string): LogName {
  const [, deployment, topic, partition] = ORIGIN.exec(origin) ?? [];
  if (deployment === undefined || topic === undefined) throw invalid(origin);
  return { deployment, topic, partition: Number(partition) };
}

/** Origin of a deployment's anchor log, and the name of its key. @throws Failure `origin.invalid` */
export const anchorOrigin = (deployment: string): string => `${checked(deployment)}/anchors`;

/** Name of the key that signs manifests, tombstones and bundles. @throws Failure `origin.invalid` */
export const archiveKeyName = (deployment: string): string => `${checked(deployment)}/archive`;

/** Name of the key that signs statements about keys. @throws Failure `origin.invalid` */
export const rootKeyName = (deployment: string): string => `${checked(deployment)}/root`;

/** Name of a gateway's key for an organisation. */
export const gatewayKeyName = (deployment: string, orgId: string, gatewayId: string): string =>
  `${deployment}/${orgId}/gw/${gatewayId}`;

/** Whether it can name a person: 1 to 128 of a-z, 0-9, `.`, `_`, `@` and `-`, beginning with a letter. */
export const isPersonName = (name: string): boolean => /^[a-z][a-z0-9._@-]{0,127}$/.test(name);

/** Name of the key by which a person signs statements about holds. @throws Failure `origin.invalid` */
export function personKeyName(deployment: string, person: string): string {
  if (!isPersonName(person)) throw invalid(person);
  return `${checked(deployment)}/person/${person}`;
}

function checked(deployment: string): string {
  if (!DEPLOYMENT.test(deployment)) throw invalid(deployment);
  return deployment;
}

function invalid(name: string): Failure {
  return new Failure({
    code: 'origin.invalid',
    retry: 'no',
    message: `${JSON.stringify(name.slice(0, 200))} does not name a log`,
    mend: 'An origin is deployment/topic/partition; names are of a-z, 0-9, "." and "-", at most 63 characters.',
  });
}
