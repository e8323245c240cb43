/** The package has no types of its own; this is what the bench uses of it. */
declare module 'json-logic-js' {
  const jsonLogic: { apply(rule: object, data: object): unknown };
  export default jsonLogic;
}
