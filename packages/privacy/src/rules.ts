import { z } from 'zod';

const fieldSchema = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[\w$*-]+(\[\])*(\.[\w$*-]+(\[\])*)*$/, 'must look like customer.email or items[].sku');

/**
 * Whose value it is, and so whose key seals it: the user for whom the agent acts, the organisation, or whoever a parameter names.
 * `class` is what that parameter is an id of, such as `customer`: the same text in two classes is two subjects. A parameter of class
 * `user` names the same subject as the user of an identity.
 */
const subjectSchema = z.union([
  z.enum(['user', 'organisation']),
  z.strictObject({
    field: fieldSchema.refine((field) => !field.includes('*'), 'must name one parameter'),
    class: z.string().regex(/^[a-z][a-z0-9_-]{0,31}$/, 'must be lower-case letters, digits, _ and -'),
  }),
]);

/** What is done with a parameter beyond hashing the whole: nothing of it is kept unless a rule says so. */
export const privacyRulesSchema = z.array(
  z
    .strictObject({
      /** Upstream service; `*` stands for anything. */
      service: z.string().min(1).max(128).default('*'),
      tool: z.string().min(1).max(128).default('*'),
      /** `customer.email`, `items[].sku`, `headers.*`. */
      field: fieldSchema,
      /**
       * `token` keeps a token that equal values share; `keep` keeps the value after the detectors have been over it; `seal` keeps it
       * under the key of its subject, until that is destroyed.
       */
      do: z.enum(['drop', 'token', 'keep', 'seal']),
      /** With `seal`: whose key; default the user's. */
      subject: subjectSchema.optional(),
    })
    .refine((rule) => rule.subject === undefined || rule.do === 'seal', {
      path: ['subject'],
      message: 'is only said of what is sealed',
    }),
);

/** Rules for who cannot seal: one that says so is a mistake, and not a value that is silently not kept. */
export const rulesWithoutSealingSchema = privacyRulesSchema.refine(
  (rules) => rules.every((rule) => rule.do !== 'seal'),
  {
    message: 'nothing is sealed here; only gateways seal',
  },
);

/** Tools whose whole responses are sealed. */
export const sealedResponsesSchema = z.array(
  z.strictObject({
    service: z.string().min(1).max(128).default('*'),
    tool: z.string().min(1).max(128).default('*'),
    subject: subjectSchema.default('user'),
  }),
);

export type SubjectRule = z.infer<typeof subjectSchema>;
export type SealedResponses = z.infer<typeof sealedResponsesSchema>;

export type PrivacyRules = z.infer<typeof privacyRulesSchema>;
export type PrivacyRule = PrivacyRules[number];

/** The first rule for this field, or undefined: then nothing of it is kept. */
export function ruleFor(
  rules: PrivacyRules,
  service: string,
  tool: string,
  field: string,
): PrivacyRule | undefined {
  return rules.find(
    (rule) => matches(rule.service, service) && matches(rule.tool, tool) && matches(rule.field, field),
  );
}

/** `*` stands for any characters; a dot in a field ends it. Linear: pieces are looked for from left to right. */
export function matches(glob: string, text: string): boolean {
  const pieces = glob.split('*');
  const [first = '', ...rest] = pieces;
  if (rest.length === 0) return glob === text;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  const last = rest.pop() ?? '';
  for (const piece of rest) {
    const found = text.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}
