// Every element of the page that the tests touch, in one table: where an id of index.html changes, change it here.
export const S = {
  // <body> says which view is shown: loading, front, bench or archive.
  view: (name) => `body[data-view="${name}"]`,
  started: 'body:not([data-view="loading"])',

  fileInput: "#file-input",
  dropZone: "#drop-zone",
  fileName: "#file-name",

  // The operating point.
  figures: "#figures-panel",
  bits: "#figure-bits",
  ratio: "#figure-ratio",

  // The recipe.
  method: "#method",
  firstParameter: "#method-parameters input[type=number]",
  step: "#parameter-step",
  coder: "#coder",
  roles: "#roles",
  scope: "#scope",
  recipeError: "#recipe-error",

  // The target.
  targetKind: "#target-kind",
  targetAmount: "#target-amount",
  targetAll: "#target-all",
  targetFind: "#target-find",
  targetSaid: "#target-said",

  // The rate-distortion chart, its table and its downloads.
  chart: "#chart",
  chartSaid: "#chart-live",
  toggles: "#method-toggles input",
  tableSummary: "#chart-details summary",
  table: "#chart-details",
  tableRows: "#chart-rows tr",
  csv: "#chart-csv",
  svg: "#chart-svg",
  overlaySvg: "#overlay-svg",
  gaps: "#chart-gaps li",

  // Which layer hurts.
  sensitivityShow: "#sensitivity-show",
  sensitivityKeys: "#sensitivity .keys li",
  sensitivityCanvas: "#sensitivity-canvas",
  sensitivityCaption: "#sensitivity-caption",
  sensitivityDetails: "#sensitivity-details",
  sensitivityRows: "#sensitivity-rows tr",
  sensitivityCsv: "#sensitivity-csv",

  // Work in progress.
  compress: "#compress-button",
  job: "#job",
  cancel: "#job-cancel",

  // The result.
  result: "#result",
  verdict: "#verdict",
  verdictHash: "#verdict-hash",
  runVerdict: "#run-verdict",
  ledgerRows: "#ledger-rows tr",
  ledgerBits: "#ledger-bits",
  downloadCompressed: "#download-qsz",
  downloadSafetensors: "#download-safetensors",
  downloadRecipe: "#download-recipe",

  // Tensors of the open file.
  tensorRows: "#tensor-rows tr",

  // Messages.
  notice: "#notice",
  noticeText: "#notice-text",
  linkNotice: "#link-notice",
  linkNoticeText: "#link-notice-text",

  // A compressed file opened as input.
  archiveVerdict: "#archive-verdict",
  archiveVerify: "#archive-verify",
};

// Columns of the chart's table, and the CSV's name for each.
export const COLUMNS = [
  { cell: 2, csv: "levels", tolerance: 0 },
  { cell: 3, csv: "entropy_bits", tolerance: 0.0006 },
  { cell: 4, csv: "rans_bits", tolerance: 0.0006 },
  { cell: 5, csv: "huffman_bits", tolerance: 0.0006 },
  { cell: 6, csv: "fixed_bits", tolerance: 0.0006 },
  { cell: 7, csv: "sqnr_db", tolerance: 0.006 },
  { cell: 8, csv: "weighted_sqnr_db", tolerance: 0.006 },
  { cell: 10, csv: "gap_to_optimum_db", tolerance: 0.0006 },
  { cell: 11, csv: "gap_to_shannon_bits", tolerance: 0.0006 },
];
