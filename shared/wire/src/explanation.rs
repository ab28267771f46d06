//! Bodies of explanations: how an invoice came about, step by step.

use app::AppError;
use domain::{
    explanation,
    invoice::{Invoice, LineItem},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::number::NumberOut;

/// How an invoice came about.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplanationBody {
    /// Which invoice.
    pub invoice_id: String,
    /// What it is in.
    pub currency: String,
    /// How each line came about.
    pub lines: Vec<LineExplanationBody>,
    /// How the lines come to the total.
    pub steps: Vec<String>,
    /// The total.
    pub total: NumberOut,
}

/// How a line of an invoice came about.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineExplanationBody {
    /// What is billed.
    pub description: String,
    /// The computation, in words and figures.
    pub steps: Vec<String>,
    /// What it costs.
    pub amount: NumberOut,
}

impl ExplanationBody {
    /// The body of an invoice's explanation. Errors: if it does not add up, which no stored one fails to.
    pub fn from_domain(invoice: &Invoice) -> Result<Self, AppError> {
        let total = invoice.total().map_err(AppError::internal)?;
        let line = |line: &LineItem| LineExplanationBody {
            description: line.description.clone(),
            steps: explanation::steps(line),
            amount: NumberOut(line.amount.amount()),
        };
        Ok(Self {
            invoice_id: invoice.id.to_string(),
            currency: invoice.currency.code().to_owned(),
            lines: invoice.lines.iter().map(line).collect(),
            steps: explanation::total_steps(invoice).map_err(AppError::internal)?,
            total: NumberOut(total.rounded().amount()),
        })
    }
}
