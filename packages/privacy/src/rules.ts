import { z } from 'zod';

/** What is done with a parameter beyond hashing the whole: nothing of it is kept unless a rule says so. */
export const privacyRulesSchema = z.array(
  z.strictObject({
    /** Upstream service; `*` stands for anything. */
    service: z.string().min(1).max(128).default('*'),
    tool: z.string().min(1).max(128).default('*'),
    /** `customer.email`, `items[].sku`, `headers.*`. */
    field: z
      .string()
      .min(1)
      .max(256)
      .regex(/^[\w$*-]+(\[\])*(\.[\w$*-]+(\[\])*)*$/, 'must look like customer.email or items[].sku'),
    /** `token` keeps a token that equal values share; `keep` keeps the value after the detectors have been over it. */
    do: z.enum(['drop', 'token', 'keep']),
  }),
);

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
