//! Labels at the ends of lines, placed so that none overlap.

use super::canvas::{Align, Drawn, LINE_HEIGHT, Point, Root, Weight, line, shortened, solid, text};

/// Draws each label beside the mark of its series. A label that would overlap is moved and joined to its mark by a
/// thin line. `left` is where labels begin; `limits` are the highest and the lowest place.
pub(super) fn beside(root: &Root, marks: &[(usize, Point, &str)], left: i32, limits: (i32, i32)) -> Drawn {
    let wanted: Vec<i32> = marks.iter().map(|(_, place, _)| place.1).collect();
    for ((series, place, label), y) in marks.iter().zip(spread(&wanted, LINE_HEIGHT, limits.0, limits.1)) {
        line(root, *place, (left - 8, y), solid(*series), 1)?;
        text(root, (left, y), &shortened(label), (solid(*series), Align::Left, Weight::Bold))?;
    }
    Ok(())
}

/// Returns heights as close to the wanted ones as possible. They keep their order, are `apart` from each other, and
/// lie between `top` and `bottom` unless there are too many.
fn spread(wanted: &[i32], apart: i32, top: i32, bottom: i32) -> Vec<i32> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&i| wanted[i]);
    // Labels that would overlap form a block around the middle of their wanted heights.
    let mut blocks: Vec<Vec<usize>> = Vec::new();
    let top_of = |block: &[usize]| {
        let middle = block.iter().map(|&i| wanted[i]).sum::<i32>() / block.len() as i32;
        let height = apart * (block.len() as i32 - 1);
        (middle - height / 2).min(bottom - height).max(top)
    };
    for i in order {
        let mut block = vec![i];
        while let Some(above) = blocks.pop() {
            let below_above = top_of(&above) + apart * above.len() as i32;
            if top_of(&block) >= below_above {
                blocks.push(above);
                break;
            }
            block = [above, block].concat();
        }
        blocks.push(block);
    }
    let mut heights = vec![0; wanted.len()];
    for block in &blocks {
        for (place, &i) in block.iter().enumerate() {
            heights[i] = top_of(block) + apart * place as i32;
        }
    }
    heights
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn labels_never_overlap_and_keep_their_order(
            wanted in proptest::collection::vec(0..900i32, 1..20),
        ) {
            let heights = spread(&wanted, 38, 24, 850);
            for a in 0..wanted.len() {
                for b in 0..a {
                    prop_assert!((heights[a] - heights[b]).abs() >= 38, "{:?}", heights);
                    prop_assert!(wanted[a] == wanted[b] || (wanted[a] < wanted[b]) == (heights[a] < heights[b]));
                }
            }
            prop_assert!(heights.iter().all(|height| (24..=850).contains(height)), "{:?}", heights);
        }
    }
}
