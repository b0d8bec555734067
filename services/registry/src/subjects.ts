import { parsingCanonicalForm, type ReleasedSchema, topicOf } from '@cairn/event';

/** One schema under one subject. */
export interface Version {
  readonly subject: string;
  /** 1, 2, … in the order of release. */
  readonly version: number;
  readonly id: number;
  /** JSON text. */
  readonly schema: string;
  /** Parsing canonical form. */
  readonly canonical: string;
}

/** The released schemas as a registry sees them. */
export interface Subjects {
  readonly names: readonly string[];
  /** All versions, rising; undefined when there is no such subject. */
  versionsOf(subject: string): readonly Version[] | undefined;
  /** The same schema under each of its subjects; empty when no release has the id. */
  withId(id: number): readonly Version[];
}

/**
 * A subject for each topic, `<topic>-value` as TopicNameStrategy names it, and one named as the record itself.
 *
 * @param classes retention classes; their topics carry records of every released schema.
 */
export function subjectsOf(schemas: readonly ReleasedSchema[], classes: readonly string[]): Subjects {
  const records = new Set(schemas.map(({ subject }) => subject));
  const bySubject = new Map<string, Version[]>();
  const name = (subject: string, from: readonly ReleasedSchema[]): void => {
    const inOrder = from.toSorted((left, right) => left.id - right.id);
    bySubject.set(
      subject,
      inOrder.map(({ id, schema }, index) => ({
        subject,
        version: index + 1,
        id,
        schema: JSON.stringify(schema),
        canonical: parsingCanonicalForm(schema),
      })),
    );
  };
  for (const retentionClass of classes) name(`${topicOf(retentionClass)}-value`, schemas);
  for (const record of records)
    name(
      record,
      schemas.filter(({ subject }) => subject === record),
    );
  const all = [...bySubject.values()].flat();
  return {
    names: [...bySubject.keys()].sort(),
    versionsOf: (subject) => bySubject.get(subject),
    withId: (id) => all.filter((version) => version.id === id),
  };
}
