/**
 * How a figure grows with the fleet: the exponent k of `figure ~ nodes^k` between one size and the next. 1 is in
 * proportion, 0 not at all. Where Subclouds grow with the nodes, as here, their product has the exponent 2.
 */
const FIGURES = ['rebuildMs', 'factToTableP50Ms', 'factToTableP99Ms', 'editToTableMs', 'rssMiB'] as const;
type Figure = (typeof FIGURES)[number];

export type Sized = { readonly nodes: number } & { readonly [Name in Figure]: number };
export type Growth = { readonly from: number; readonly to: number } & { readonly [Name in Figure]: number };

export function growthOf(sizes: readonly Sized[]): readonly Growth[] {
  return sizes.slice(1).flatMap((larger, index) => {
    const smaller = sizes[index];
    if (smaller === undefined) return [];
    const exponent = (figure: Figure): number => {
      const exact = Math.log(larger[figure] / smaller[figure]) / Math.log(larger.nodes / smaller.nodes);
      return Math.round(exact * 100) / 100;
    };
    return [
      {
        from: smaller.nodes,
        to: larger.nodes,
        rebuildMs: exponent('rebuildMs'),
        factToTableP50Ms: exponent('factToTableP50Ms'),
        factToTableP99Ms: exponent('factToTableP99Ms'),
        editToTableMs: exponent('editToTableMs'),
        rssMiB: exponent('rssMiB'),
      },
    ];
  });
}
