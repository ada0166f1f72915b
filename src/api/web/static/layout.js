// Where the nodes of a graph stand: a column for each level, rows by the barycentre of the parents. Pure.

const WIDE = { across: 14, down: 6 }; // a level with more nodes is folded
const SWEEPS = 4;
const MAX_BENDS = 3000; // long edges beyond it are drawn straight

export function layout(definition, { vertical = false, open = new Set() } = {}) {
  const nodes = new Map(definition.nodes.map((node) => [node.id, node]));
  const edges = (definition.edges ?? []).filter((edge) => nodes.has(edge.from) && nodes.has(edge.to));
  const levels = levelsOf(nodes, edges);
  const { items, home } = folded(levels, nodes, open, vertical ? WIDE.down : WIDE.across);
  const links = linksOf(edges, home);
  const columns = columnsOf(items, links);
  order(columns, links);
  return placed(columns, links, vertical);
}

// The longest way from a start: what a node waits for stands to its left.
function levelsOf(nodes, edges) {
  const waits = new Map([...nodes.keys()].map((id) => [id, 0]));
  const after = new Map([...nodes.keys()].map((id) => [id, []]));
  for (const edge of edges) {
    waits.set(edge.to, waits.get(edge.to) + 1);
    after.get(edge.from).push(edge.to);
  }
  const level = new Map();
  let ready = [...nodes.keys()].filter((id) => waits.get(id) === 0);
  ready.forEach((id) => level.set(id, 0));
  while (ready.length) {
    const next = [];
    for (const id of ready) {
      for (const target of after.get(id)) {
        level.set(target, Math.max(level.get(target) ?? 0, level.get(id) + 1));
        waits.set(target, waits.get(target) - 1);
        if (waits.get(target) === 0) next.push(target);
      }
    }
    ready = next;
  }
  for (const id of nodes.keys()) if (!level.has(id)) level.set(id, 0); // in a cycle, of a draft
  return level;
}

function folded(levels, nodes, open, most) {
  const byLevel = new Map();
  for (const id of nodes.keys()) {
    const level = levels.get(id);
    if (!byLevel.has(level)) byLevel.set(level, []);
    byLevel.get(level).push(id);
  }
  const items = [], home = new Map();
  for (const [level, ids] of [...byLevel].sort(([a], [b]) => a - b)) {
    const isFolded = ids.length > most && !open.has(level);
    const shown = isFolded ? ids.slice(0, most - 2) : ids;
    for (const id of shown) {
      items.push({ key: `n ${id}`, id, node: nodes.get(id), level });
      home.set(id, `n ${id}`);
    }
    if (isFolded) {
      const hidden = ids.slice(most - 2);
      items.push({ key: `fold ${level}`, fold: hidden, level });
      hidden.forEach((id) => home.set(id, `fold ${level}`));
    } else if (ids.length > most) {
      items.push({ key: `unfold ${level}`, unfold: level, fold: [], level });
    }
  }
  return { items, home };
}

function linksOf(edges, home) {
  const links = new Map();
  for (const edge of edges) {
    const [from, to] = [home.get(edge.from), home.get(edge.to)];
    const key = `${from} > ${to} ${edge.condition ?? ""}`;
    if (!links.has(key)) links.set(key, { from, to, condition: edge.condition ?? "", edges: [] });
    links.get(key).edges.push(edge);
  }
  return [...links.values()];
}

// Long edges get a bend in every column that they cross, so that they go around the nodes.
function columnsOf(items, links) {
  const columns = [];
  const levelOf = new Map();
  const put = (item) => {
    (columns[item.level] ??= []).push(item);
    levelOf.set(item.key, item.level);
  };
  items.forEach(put);
  for (let level = 0; level < columns.length; level += 1) columns[level] ??= [];
  let bends = 0;
  for (const [place, link] of links.entries()) {
    const [first, last] = [levelOf.get(link.from), levelOf.get(link.to)];
    link.path = [link.from];
    for (let level = first + 1; level < last && bends < MAX_BENDS; level += 1, bends += 1) {
      const bend = { key: `bend ${place} ${level}`, bend: true, level };
      put(bend);
      link.path.push(bend.key);
    }
    link.path.push(link.to);
  }
  return columns;
}

function order(columns, links) {
  const before = new Map(), after = new Map();
  const add = (map, key, value) => (map.has(key) ? map.get(key).push(value) : map.set(key, [value]));
  for (const link of links) {
    for (let step = 1; step < link.path.length; step += 1) {
      add(before, link.path[step], link.path[step - 1]);
      add(after, link.path[step - 1], link.path[step]);
    }
  }
  const rank = new Map();
  const number = (column) => column.forEach((item, place) => rank.set(item.key, place - (column.length - 1) / 2));
  columns.forEach(number);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const forth = sweep % 2 === 0;
    for (const column of forth ? columns : [...columns].reverse()) {
      const near = forth ? before : after;
      const weight = (item) => {
        const others = near.get(item.key);
        return others ? others.reduce((sum, key) => sum + rank.get(key), 0) / others.length : rank.get(item.key);
      };
      const weights = new Map(column.map((item) => [item.key, item.unfold !== undefined ? Infinity : weight(item)]));
      column.sort((a, b) => weights.get(a.key) - weights.get(b.key));
      number(column);
    }
  }
}

const SIZE = { width: 156, height: 58 };

function placed(columns, links, vertical) {
  const size = SIZE;
  const gap = vertical ? { along: 34, across: 14, bend: 14 } : { along: 44, across: 14, bend: 16 };
  const along = vertical ? size.height : size.width;
  const across = vertical ? size.width : size.height;
  const extent = (item) => (item.bend ? gap.bend : across);
  const heights = columns.map((column) => column.reduce((sum, item) => sum + extent(item) + gap.across, -gap.across));
  const most = Math.max(...heights, across);
  const at = new Map();
  columns.forEach((column, level) => {
    let offset = (most - heights[level]) / 2;
    for (const item of column) {
      at.set(item.key, { item, along: level * (along + gap.along), across: offset + extent(item) / 2 });
      offset += extent(item) + gap.across;
    }
  });
  const point = (a, b) => (vertical ? { x: b, y: a } : { x: a, y: b });
  const boxes = [...at.values()].filter(({ item }) => !item.bend).map(({ item, along: start, across: middle }) => ({
    ...item, ...size, ...point(start, middle - across / 2),
  }));
  const lines = links.map((link) => ({
    ...link, points: link.path.flatMap((key) => {
      const { item, along: start, across: middle } = at.get(key);
      if (item.bend) return [point(start, middle), point(start + along, middle)];
      return key === link.from ? [point(start + along, middle)] : [point(start, middle)];
    }),
  }));
  const length = columns.length * (along + gap.along) - gap.along;
  return { boxes, lines, vertical, ...(vertical ? { width: most, height: length } : { width: length, height: most }) };
}
