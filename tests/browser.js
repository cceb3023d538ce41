// Runs in a copy of a page: opens what is folded, and writes down what is wrong with how it is laid out.
(() => {
  for (const one of document.querySelectorAll('details')) one.open = true;
  const told = {overflow: [], overlap: [], cut: [], contrast: [], texts: 0, width: innerWidth,
                dark: matchMedia('(prefers-color-scheme: dark)').matches};
  const scroller = document.scrollingElement;
  if (scroller.scrollWidth > innerWidth) {
    told.overflow.push(`page is ${scroller.scrollWidth} px wide`);
    for (const one of document.querySelectorAll('body *')) {
      const box = one.getBoundingClientRect();
      if (box.right > innerWidth + 1 && told.overflow.length < 6) told.overflow.push(`${one.tagName}.${one.className}: ${box.right}`);
    }
  }
  // What of a box is seen: parts outside of what scrolls or hides are not.
  const seen = (box, from) => {
    let {left, right, top, bottom} = box;
    for (let at = from; at && at !== document.body; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.overflowX === 'visible' && style.overflowY === 'visible') continue;
      const frame = at.getBoundingClientRect();
      left = Math.max(left, frame.left); right = Math.min(right, frame.right);
      top = Math.max(top, frame.top); bottom = Math.min(bottom, frame.bottom);
    }
    return {left, right, top, bottom};
  };
  const canvas = document.createElement('canvas'); canvas.width = canvas.height = 1;
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const known = new Map();
  const rgba = (text) => {
    if (!known.has(text)) {
      context.clearRect(0, 0, 1, 1); context.fillStyle = '#000'; context.fillStyle = text; context.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
      known.set(text, [r, g, b, a / 255]);
    }
    return known.get(text);
  };
  const over = (front, back) => [0, 1, 2].map((i) => front[i] * front[3] + back[i] * (1 - front[3])).concat([1]);
  const luminance = (colour) => {
    const [r, g, b] = colour.map((c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
    }
    let below = told.dark ? [18, 18, 18, 1] : [255, 255, 255, 1];
    for (const layer of layers.reverse()) below = over(layer, below);
    return below;
  };
  // Rectangles of a picture that lie under a text in it, drawn before it.
  const painted = (svg, text, below) => {
    const place = text.getBoundingClientRect();
    const [x, y] = [(place.left + place.right) / 2, (place.top + place.bottom) / 2];
    for (const one of svg.querySelectorAll('rect')) {
      if (!(one.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING)) continue;
      const box = one.getBoundingClientRect(), style = getComputedStyle(one);
      if (style.fill === 'none' || x < box.left || x > box.right || y < box.top || y > box.bottom) continue;
      const colour = [...rgba(style.fill)];
      colour[3] *= Number(style.opacity) * Number(style.fillOpacity);
      below = over(colour, below);
    }
    return below;
  };
  // How a text is turned, in degrees, and where it is in a frame that is turned likewise.
  const turn = (holder) => {
    const matrix = holder.getScreenCTM ? holder.getScreenCTM() : null;
    const angle = matrix ? Math.atan2(matrix.b, matrix.a) : 0;
    if (Math.abs(angle) < 0.01) return {angle: 0};
    const local = holder.getBBox(), [sine, cosine] = [Math.sin(-angle), Math.cos(-angle)];
    const corners = [[local.x, local.y], [local.x + local.width, local.y + local.height]].map(([x, y]) => {
      const [px, py] = [matrix.a * x + matrix.c * y + matrix.e, matrix.b * x + matrix.d * y + matrix.f];
      return [px * cosine - py * sine, px * sine + py * cosine];
    });
    return {angle: Math.round(angle * 100), turned: {left: corners[0][0], top: corners[0][1], right: corners[1][0], bottom: corners[1][1]}};
  };
  const boxes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!node.data.trim()) continue;
    const holder = node.parentElement;
    if (['STYLE', 'SCRIPT', 'TITLE', 'DESC'].includes(holder.tagName.toUpperCase())) continue;
    const style = getComputedStyle(holder);
    if (style.visibility === 'hidden') continue;
    const range = document.createRange(); range.selectNodeContents(node);
    const svg = holder.closest('svg');
    let any = false;
    for (const full of range.getClientRects()) {
      const box = seen(full, holder);
      if (box.right - box.left < 3 || box.bottom - box.top < 3) continue;
      any = true;
      boxes.push({...box, node, text: node.data.trim().slice(0, 40), ...turn(holder)});
      if (svg) {
        const frame = svg.getBoundingClientRect();
        if (full.left < frame.left - 1 || full.right > frame.right + 1 || full.top < frame.top - 1 || full.bottom > frame.bottom + 1)
          told.cut.push(`${node.data.trim().slice(0, 40)} in ${svg.getAttribute('aria-label') || svg.textContent.slice(0, 40)}`);
      }
    }
    if (!any) continue;
    told.texts++;
    let opacity = 1;
    for (let at = holder; at; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity);
    const below = svg ? painted(svg, holder, ground(holder)) : ground(holder);
    const ink = [...rgba(svg ? style.fill : style.color)]; ink[3] *= opacity;
    const [light, dark] = [luminance(over(ink, below)), luminance(below)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
    const least = size >= 24 || (bold && size >= 18.66) ? 3 : 4.5;
    if (ratio < least) told.contrast.push(`${ratio.toFixed(2)}: ${node.data.trim().slice(0, 40)} (${holder.tagName}.${holder.className.baseVal ?? holder.className})`);
  }
  boxes.sort((a, b) => a.top - b.top);
  for (let i = 0; i < boxes.length; i++) {
    const one = boxes[i];
    // A line's box is taller than its letters.
    const inset = (box) => (box.bottom - box.top) * 0.18;
    for (let j = i + 1; j < boxes.length && boxes[j].top < one.bottom; j++) {
      const other = boxes[j];
      if (one.node === other.node) continue;
      if (one.angle !== other.angle) continue;
      const [a, b] = one.angle ? [one.turned, other.turned] : [one, other];
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom - inset(a), b.bottom - inset(b)) - Math.max(a.top + inset(a), b.top + inset(b));
      if (across > 1 && down > 1) told.overlap.push(`${one.text} | ${other.text}`);
    }
  }
  const result = document.createElement('pre');
  result.id = 'kab-looked'; result.textContent = JSON.stringify(told);
  parent.document.body.append(result);
})();
